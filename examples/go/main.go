// Hands failures to retryd and runs them again, over its SQL functions alone.
//
//	go run . capture 17
//	go run . work
package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"math"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/lib/pq"
)

const handler = "mail-go"

// --8<-- [start:capture]
// capture writes an invoice and what failed about it in one transaction: both are kept, or neither.
func capture(ctx context.Context, db *sql.DB, number int) (id int64, err error) {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return 0, err
	}
	defer tx.Rollback() // does nothing after the commit
	if _, err = tx.ExecContext(ctx, "insert into invoice (number, state) values ($1, 'unsent')", number); err != nil {
		return 0, err
	}
	payload, err := json.Marshal(map[string]int{"invoice": number})
	if err != nil {
		return 0, err
	}
	err = tx.QueryRowContext(ctx,
		`select retryd.capture_failure('invoice.email.failed', $1::jsonb, event_id => $2,
		    error_type => 'SMTPError', error_message => 'the mail server does not answer')`,
		string(payload), fmt.Sprintf("invoice-%d", number)).Scan(&id)
	if err != nil {
		return 0, err
	}
	return id, tx.Commit()
}

// --8<-- [end:capture]

// --8<-- [start:work]
type retry struct {
	id, token                 int64
	payload                   string
	attempt, lost, maxRetries int
}

// work claims what is due until the context ends. What it holds then, it still finishes.
func work(ctx context.Context, db *sql.DB) error {
	worker := fmt.Sprintf("go-%d-%d", os.Getpid(), time.Now().UnixNano()) // fresh for each start
	if _, err := db.ExecContext(ctx, "select retryd.register_handler($1, array['invoice.*'])", handler); err != nil {
		return err
	}
	for ctx.Err() == nil {
		retries, err := claim(db, worker)
		if err != nil {
			log.Print(err) // PostgreSQL is away: try again, nothing is lost
		}
		for _, one := range retries {
			if err := attempt(db, worker, one); err != nil {
				log.Printf("retry %d: %v", one.id, err) // its lease runs out, another worker takes it over
			}
		}
		if len(retries) == 0 {
			select {
			case <-ctx.Done():
			case <-time.After(time.Second):
			}
		}
	}
	return nil
}

// claim takes one retry, so that no other waits behind it while its lease runs.
func claim(db *sql.DB, worker string) ([]retry, error) {
	rows, err := db.Query(
		`select id, claim_token, payload, attempt, lost_attempts, max_retries
		 from retryd.acquire_retry_batch($1, 1, '60 s', array[$2])`, worker, handler)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var retries []retry
	for rows.Next() {
		var r retry
		if err := rows.Scan(&r.id, &r.token, &r.payload, &r.attempt, &r.lost, &r.maxRetries); err != nil {
			return nil, err
		}
		retries = append(retries, r)
	}
	return retries, rows.Err()
}

// attempt runs the operation under a lease that is renewed meanwhile, and says what came of it.
func attempt(db *sql.DB, worker string, r retry) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	go keep(ctx, cancel, db, worker, r)
	failure := send(ctx, r)
	var err error
	switch {
	case failure == nil:
		_, err = db.Exec("select retryd.complete_retry($1, $2)", r.id, r.token)
	case r.attempt-r.lost >= r.maxRetries:
		_, err = db.Exec("select retryd.fail_retry($1, $2, 'exhausted', 'SMTPError', $3)",
			r.id, r.token, failure.Error())
	default:
		_, err = db.Exec("select retryd.reschedule_retry($1, $2, make_interval(secs => $3), 'SMTPError', $4)",
			r.id, r.token, math.Pow(2, float64(r.attempt)), failure.Error())
	}
	return err // false means stale: somebody else has it now, and nothing was changed
}

// keep renews the lease until the attempt is over, and ends the attempt when the lease is lost.
func keep(ctx context.Context, cancel context.CancelFunc, db *sql.DB, worker string, r retry) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(20 * time.Second):
		}
		var id int64
		err := db.QueryRowContext(ctx, "select retryd.extend_retry_leases($1, $2, $3, '60 s')",
			worker, pq.Array([]int64{r.id}), pq.Array([]int64{r.token})).Scan(&id)
		if errors.Is(err, sql.ErrNoRows) {
			cancel()
			return
		}
	}
}

// --8<-- [end:work]

// send is your operation. This one fails at its first attempt.
func send(ctx context.Context, r retry) error {
	var what struct{ Invoice int }
	if err := json.Unmarshal([]byte(r.payload), &what); err != nil {
		return err
	}
	if r.attempt == 1 {
		return errors.New("the mail server does not answer")
	}
	fmt.Printf("sent invoice %d\n", what.Invoice)
	return ctx.Err()
}

func main() {
	db, err := sql.Open("postgres", os.Getenv("DATABASE_URL"))
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	switch {
	case len(os.Args) == 3 && os.Args[1] == "capture":
		number, err := strconv.Atoi(os.Args[2])
		if err != nil {
			log.Fatal(err)
		}
		id, err := capture(ctx, db, number)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(id)
	case len(os.Args) == 2 && os.Args[1] == "work":
		if err := work(ctx, db); err != nil {
			log.Fatal(err)
		}
	default:
		log.Fatal("usage: capture NUMBER | work")
	}
}
