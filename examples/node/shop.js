// Hands failures to retryd and runs them again, over its SQL functions alone.
//
//   node shop.js capture 17
//   node shop.js work
"use strict";

const { randomUUID } = require("node:crypto");
const { setTimeout: pause } = require("node:timers/promises");
const { Pool } = require("pg");

const HANDLER = "mail-node";

// --8<-- [start:capture]
// Writes an invoice and what failed about it in one transaction: both are kept, or neither.
async function capture(pool, number) {
  const client = await pool.connect();
  try {
    await client.query("begin");
    await client.query("insert into invoice (number, state) values ($1, 'unsent')", [number]);
    const { rows } = await client.query(
      `select retryd.capture_failure('invoice.email.failed', $1, event_id => $2,
           error_type => 'SMTPError', error_message => 'the mail server does not answer') as id`,
      [JSON.stringify({ invoice: number }), `invoice-${number}`],
    );
    await client.query("commit");
    return rows.map((row) => row.id);
  } catch (error) {
    await client.query("rollback");
    throw error;
  } finally {
    client.release();
  }
}
// --8<-- [end:capture]

// --8<-- [start:work]
// Claims what is due until the signal ends it. What it holds then, it still finishes.
async function work(pool, signal) {
  const worker = `node-${process.pid}-${randomUUID()}`; // fresh for each start
  await pool.query("select retryd.register_handler($1, array['invoice.*'])", [HANDLER]);
  while (!signal.aborted) {
    try {
      // One at a time: no other waits behind it while its lease runs. Ids are strings here, as bigint needs it.
      const { rows } = await pool.query(
        `select id, claim_token, payload, attempt, lost_attempts, max_retries
         from retryd.acquire_retry_batch($1, 1, '60 s', array[$2])`,
        [worker, HANDLER],
      );
      for (const retry of rows) await run(pool, worker, retry);
      if (rows.length === 0) await pause(1000, undefined, { signal }).catch(() => {});
    } catch (error) {
      console.error(error.message); // PostgreSQL is away: try again, nothing is lost
      await pause(1000);
    }
  }
}

// Runs the operation under a lease that is renewed meanwhile, and says what came of it.
async function run(pool, worker, retry) {
  const { id, claim_token: token, attempt } = retry;
  const lost = new AbortController();
  const keeper = setInterval(async () => {
    try {
      const held = await pool.query("select retryd.extend_retry_leases($1, $2, $3, '60 s')", [
        worker,
        [id],
        [token],
      ]);
      if (held.rowCount === 0) lost.abort(); // somebody else has it now
    } catch (error) {
      console.error(error.message);
    }
  }, 20_000);
  const failure = await send(JSON.parse(retry.payload), attempt, lost.signal).catch((error) => error);
  clearInterval(keeper);
  // Each answers false when the lease was lost, and has changed nothing then.
  if (!failure) {
    await pool.query("select retryd.complete_retry($1, $2)", [id, token]);
  } else if (attempt - retry.lost_attempts >= retry.max_retries) {
    await pool.query("select retryd.fail_retry($1, $2, 'exhausted', $3, $4)", [
      id,
      token,
      failure.name,
      failure.message,
    ]);
  } else {
    await pool.query("select retryd.reschedule_retry($1, $2, make_interval(secs => $3), $4, $5)", [
      id,
      token,
      2 ** attempt,
      failure.name,
      failure.message,
    ]);
  }
}
// --8<-- [end:work]

// Your operation. This one fails at its first attempt.
async function send({ invoice }, attempt, signal) {
  signal.throwIfAborted();
  if (attempt === 1) throw new Error("the mail server does not answer");
  console.log(`sent invoice ${invoice}`);
}

async function main([command, number]) {
  const pool = new Pool({ connectionString: process.env.DATABASE_URL });
  pool.on("error", (error) => console.error(error.message)); // an idle connection broke
  const stop = new AbortController();
  for (const name of ["SIGINT", "SIGTERM"]) process.once(name, () => stop.abort());
  try {
    if (command === "capture") console.log((await capture(pool, Number(number))).join("\n"));
    else if (command === "work") await work(pool, stop.signal);
    else throw new Error("usage: capture NUMBER | work");
  } finally {
    await pool.end();
  }
}

main(process.argv.slice(2)).catch((error) => {
  console.error(error.message);
  process.exitCode = 1;
});
