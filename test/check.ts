import { check, checks } from './helpers/checks.ts'

/* `npm run check`: side by side. */
const codes = await Promise.all(
  checks.map(async command => {
    const { code, output } = await check(command)
    process.stdout.write(`$ ${command}\n${output}`)
    return code
  }),
)
if (codes.some(code => code !== 0)) process.exitCode = 1
