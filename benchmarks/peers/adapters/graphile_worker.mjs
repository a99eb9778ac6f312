// Graphile Worker with its local queue and with batched completion and failure, one pool per process.
// The delay of a retry cannot be set: exp(attempt) seconds, 10.1 s for two failures.
import { load, main, versionOf } from './protocol.mjs'

const { Logger, makeWorkerUtils, run } = load('graphile-worker')
const logger = new Logger(() => () => {})
const NAME = 'noop'

await main({
  left: 'select count(*) from graphile_worker._private_jobs where run_at <= now() or locked_at is not null',
  candidates: [
    { concurrency: 100, size: 1000, refetch: 10, batch: 0 },
    { concurrency: 24, size: 500, refetch: 10, batch: 0 },
    { concurrency: 24, size: -1, refetch: 0, batch: -1 },
  ],
  defaults: {},
  version: () => versionOf('graphile-worker'),
  async setup(dsn) {
    const utils = await makeWorkerUtils({ connectionString: dsn, logger })
    await utils.migrate()
    await utils.release()
  },
  async producer(dsn) {
    const utils = await makeWorkerUtils({ connectionString: dsn, logger, maxPoolSize: 2 })
    const spec = (due) => (due ? { runAt: due } : {})
    return {
      one: (item, due) => utils.addJob(NAME, item, spec(due)),
      many: (items, due) => utils.addJobs(items.map((payload) => ({ identifier: NAME, payload, ...spec(due) }))),
      close: () => utils.release(),
    }
  },
  async work(dsn, step, { concurrency, size, refetch, batch }) {
    const tuned = concurrency === undefined ? {} : {
      concurrentJobs: concurrency,
      localQueue: size > 0 ? { size, refetchDelay: { durationMs: refetch } } : undefined,
      completeJobBatchDelay: batch,
      failJobBatchDelay: batch,
    }
    const task = (payload, { job }) => {
      if (step(job.id, payload)) throw new Error('on purpose')
    }
    await run({
      preset: { worker: { connectionString: dsn, logger, ...tuned } },
      taskList: { [NAME]: task },
      noHandleSignals: true,
    })
  },
})
