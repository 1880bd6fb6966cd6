import SqliteFile, { type Statement } from 'better-sqlite3'

/*
 * node --import: makes each commit to SQLite take five milliseconds longer, in which the thread waits, as it
 * does for the disk.
 */
const milliseconds = 5
const { prepare } = SqliteFile.prototype
const bell = new Int32Array(new SharedArrayBuffer(4))

SqliteFile.prototype.prepare = function (this: InstanceType<typeof SqliteFile>, source: string) {
  const statement = prepare.call(this, source)
  return source === 'commit' ? slowDown(statement) : statement
} as typeof prepare

function slowDown(statement: Statement<unknown[]>): Statement<unknown[]> {
  const run = statement.run.bind(statement)
  statement.run = (...parameters) => {
    Atomics.wait(bell, 0, 0, milliseconds)
    return run(...parameters)
  }
  return statement
}
