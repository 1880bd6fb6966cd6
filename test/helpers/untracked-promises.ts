import hooks from 'node:async_hooks'
import { syncBuiltinESMExports } from 'node:module'

/*
 * To be imported before tap, which follows each promise of the process to know to which test an uncaught
 * error belongs: a quarter of all that the tests of a server do. Without it such an error still fails the
 * file, and says where it was thrown.
 */
const { createHook } = hooks
hooks.createHook = callbacks => createHook({ ...callbacks, trackPromises: false })
syncBuiltinESMExports()
