import t from 'tap'
import { judgeNewPassword } from '../../src/users/new-passwords.ts'

t.test('NP-1 NP-2 NP-3 NP-4 a new password is no common one, and no name of its owner', async t => {
  const claims = JSON.stringify({ name: 'Ada Lovelace', email: 'countess@example.com' })
  const owner = { user: { username: 'Alice', claims }, operator: 'Orchard Bank' }
  const cases: [password: string, kind: string | undefined][] = [
    ['short', 'form'],
    ['ßöäüéèà', 'form'],
    ['ßöäüéèàç', undefined],
    ['🔑🐎🔋📎🌲🌊🪁', 'form'],
    ['🔑🐎🔋📎🌲🌊🪁🧭', undefined],
    ['wwwxyzzz', undefined],
    ['x y z x z y x y z x z y x y z x z y x y z x z y x y z x z y x y z x z y', undefined],
    ['a\tb-long-enough', 'form'],
    ['x'.repeat(1025), 'form'],
    ['x'.repeat(1024), undefined],
    ['ü'.repeat(512), undefined],
    ['password', 'common'],
    ['PassWord', 'common'],
    ['ｐａｓｓｗｏｒｄ', 'common'],
    ['1q2w3e4r5t', 'common'],
    ['alice1234', 'own_name'],
    ['2024-ALICE!', 'own_name'],
    ['alicealice', 'own_name'],
    ['alicepassword', 'own_name'],
    ['Lovelace2024', 'own_name'],
    ['countess99', 'own_name'],
    ['orchardbank', 'own_name'],
    ['alice-rows-to-norway', undefined],
    ['correct horse', undefined],
    ['aaaaaaaabbbb cccc', undefined],
  ]
  for (const [password, kind] of cases) {
    const problem = await judgeNewPassword(password, owner)
    t.equal(problem?.kind, kind, password.slice(0, 30))
    if (problem) t.match(problem.text, /^the password [a-z ]{10,}/, 'NP-4 and it is said why')
  }
})
