import { openQueue } from './queue.ts'

/* tap runs this before it starts the processes that share the tests. */
openQueue(process.ppid)
