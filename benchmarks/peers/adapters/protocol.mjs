// What every adapter for node speaks: the verbs and reports of protocol.py, word for word.
import { appendFileSync, mkdirSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { parseArgs } from 'node:util'

const AT_ONCE = 1000
const FEEDS_A_SECOND = 50
const ATTEMPTS = 3
const TICK_MS = 10

// The packages are in build/, not beside this file.
const modules = createRequire(join(process.env.BENCH_MODULES, 'x'))
export const load = (name) => modules(name)
export const versionOf = (name) => modules(join(process.env.BENCH_MODULES, name, 'package.json')).version

const seconds = () => (performance.timeOrigin + performance.now()) / 1000
const wait = (s) => new Promise((done) => setTimeout(done, Math.max(0, s * 1000)))
const payload = (seq) => ({ seq, pad: 'x'.repeat(165) })
const range = (from, to) => Array.from({ length: to - from }, (_, n) => from + n)

// A reporter, and what a handler does: true means that it failed on purpose.
function reporter(folder, mode) {
  mkdirSync(folder, { recursive: true })
  const file = join(folder, `${process.pid}.jsonl`)
  let calls = 0, told = 0, first = 0, starts = []
  const failures = new Map()
  setInterval(() => {
    if (calls === told) return
    told = calls
    appendFileSync(file, JSON.stringify({ calls, first, starts }) + '\n')
    starts = []
  }, TICK_MS)
  return (key, body) => {
    if (!calls) first = seconds()
    calls += 1
    if (mode === 'times') starts.push([body.seq, seconds()])
    if (mode !== 'fail') return false
    const failed = (failures.get(key) ?? 0) + 1
    failures.set(key, failed)
    return failed < ATTEMPTS
  }
}

async function capture(adapter, options) {
  const due = options.due_in ? new Date(Date.now() + options.due_in * 1000) : null
  const share = Math.floor(options.items / options.connections)
  const producers = await Promise.all(range(0, options.connections).map(() => adapter.producer(options.dsn)))
  if (options.singly) for (const each of producers) await each.one(payload(0), due)
  const started = seconds()
  await Promise.all(producers.map(async (producer, n) => {
    const [from, to] = [n * share, (n + 1) * share]
    if (options.singly) for (let seq = from; seq < to; seq++) await producer.one(payload(seq), due)
    else for (let at = from; at < to; at += AT_ONCE) await producer.many(range(at, Math.min(at + AT_ONCE, to)).map(payload), due)
  }))
  const took = seconds() - started
  for (const each of producers) await each.close()
  return { items: share * options.connections, seconds: took }
}

async function feed(adapter, options) {
  const { rate } = options
  const together = Math.max(1, Math.round(rate / FEEDS_A_SECOND))
  const producer = await adapter.producer(options.dsn)
  const ready = []
  const started = seconds()
  for (let at = 0; at < Math.floor(rate * options.seconds); at += together) {
    await wait(started + at / rate - seconds())
    const due = options.due_in ? new Date((seconds() + options.due_in) * 1000) : null
    if (together === 1) await producer.one(payload(at), due)
    else await producer.many(range(at, at + together).map(payload), due)
    const since = due ? due.getTime() / 1000 : seconds()
    for (let n = 0; n < together; n++) ready.push(since)
  }
  await producer.close()
  return { ready }
}

async function work(adapter, options) {
  process.on('SIGTERM', () => process.exit(0))
  const chosen = options.defaults ? adapter.defaults : adapter.candidates[0]
  const step = reporter(options.report, options.mode)
  await adapter.work(options.dsn, step, { ...chosen, ...JSON.parse(options.settings) }, options.mode)
}

export async function main(adapter) {
  const text = { type: 'string' }, flag = { type: 'boolean', default: false }
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      'dsn': text, 'items': text, 'singly': flag, 'connections': text, 'due-in': text, 'rate': text, 'seconds': text,
      'mode': { ...text, default: 'count' }, 'report': text, 'processes': text, 'port': text,
      'defaults': flag, 'settings': { ...text, default: '{}' },
    },
  })
  const number = (name, unset) => Number(values[name] ?? unset)
  const options = {
    ...values, items: number('items', 0), connections: number('connections', 1), due_in: number('due-in', 0),
    rate: number('rate', 0), seconds: number('seconds', 0),
  }
  const say = (told) => console.log(JSON.stringify(told))
  switch (positionals[0]) {
    case 'describe':
      return say({
        version: adapter.version(), runtime: `node ${process.versions.node}`, left: adapter.left,
        candidates: adapter.candidates, defaults: adapter.defaults,
      })
    case 'setup': return adapter.setup(options.dsn)
    case 'capture': return say(await capture(adapter, options))
    case 'feed': return say(await feed(adapter, options))
    default: return work(adapter, options)
  }
}
