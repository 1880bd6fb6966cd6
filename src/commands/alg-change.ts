import type { AlgChange } from '../admin/pending-algs.ts'
import { formatTime } from '../values/formats.ts'

/** Says when the new algorithm signs, for people. */
export function drawAlgChange({ what, alg, previousAlg, at }: AlgChange): string {
  return (
    `Its ${what} are signed with ${previousAlg} until ${formatTime(at)}, ` +
    `when every verifier can know the ${alg} key, if a server runs.`
  )
}
