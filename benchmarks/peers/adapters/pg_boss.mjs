// pg-boss with notifications on, fetching on and on while batches come back full; retries have no delay.
// Batches that may fail settle each job by itself (perJobResults): it would fail the whole batch otherwise.
import { load, main, versionOf } from './protocol.mjs'

const { PgBoss } = load('pg-boss')
const QUEUE = 'noop'
const quiet = { supervise: false, schedule: false, migrate: false, createSchema: false }

async function open(dsn, options) {
  const boss = new PgBoss({ connectionString: dsn, ...options })
  boss.on('error', () => {})
  await boss.start()
  return boss
}

await main({
  left: `select count(*) from pgboss.job where state < 'completed' and start_after <= now()`,
  candidates: [
    { batchSize: 1000, localConcurrency: 2, burstWhenBatchFull: true },
    { batchSize: 1000, localConcurrency: 1, burstWhenBatchFull: true },
    { batchSize: 500, localConcurrency: 1, burstWhenBatchFull: true },
    { batchSize: 100, localConcurrency: 2, burstWhenBatchFull: true },
  ],
  defaults: {},
  version: () => versionOf('pg-boss'),
  async setup(dsn) {
    const boss = await open(dsn, {})
    await boss.createQueue(QUEUE, { notify: true, retryLimit: 5, retryDelay: 0 })
    await boss.stop({ graceful: false })
  },
  async producer(dsn) {
    const boss = await open(dsn, { ...quiet, max: 1 })
    const spec = (due) => (due ? { startAfter: due } : {})
    return {
      one: (item, due) => boss.send(QUEUE, item, spec(due)),
      many: (items, due) => boss.insert(QUEUE, items.map((data) => ({ data, ...spec(due) }))),
      close: () => boss.stop({ graceful: false }),
    }
  },
  async work(dsn, step, settings, mode) {
    const boss = await open(dsn, { useListenNotify: true })
    const tuned = Object.keys(settings).length
      ? { pollingIntervalSeconds: 0.5, notifyPollingIntervalSeconds: 0.5, ...settings }
      : {}
    if (mode !== 'fail') {
      await boss.work(QUEUE, tuned, async (jobs) => { for (const job of jobs) step(job.id, job.data) })
      return
    }
    await boss.work(QUEUE, { ...tuned, perJobResults: true }, async (jobs) =>
      jobs.map((job) => ({ id: job.id, status: step(job.id, job.data) ? 'failed' : 'completed' })))
  },
})
