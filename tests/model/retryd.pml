/* The protocol of one retry: claim, lease, token, rescue, dead letter, replay. check.py runs it, and every wrong variant.
 *
 * A d_step is one SQL statement. Time is abstract: a lease may lapse at any moment, a worker may be as slow as it likes
 * between two statements (stopped, partitioned), and workers and rescuers may crash anywhere, CRASHES times in all.
 *
 * Wrong on purpose, each a mistake that somebody made; check.py names the property that each must break:
 *   NOFENCE             a settlement is guarded by the state alone
 *   TOKEN_RESET         a replay begins the tokens anew
 *   RESCUE_KEEPS_TOKEN  a rescue does not fence the old holder
 *   RESCUE_STALE        a rescue acts on what it read before
 *   RESCUE_COUNTS       the expired lease of a rescuer counts as a lost attempt
 *   RENEW_BY_NAME       a renewal asks for the worker's name, not for the token, and names are used again
 *   ENDLESS_RENEWAL     an attempt that hangs is renewed for ever
 *   SPLIT_MOVE          the move to the dead letters is two transactions
 *   RACY_REPLAY         a replay looks first and writes later
 *   RESOLVE_RETRYING    a case is closed while its retry is live
 *   COUNT_ON_FAIL       attempts are counted by the worker that lives to report them; needs POISON
 * POISON alone is no mistake: every worker that begins an attempt dies of it.
 */
#ifndef WORKERS
#define WORKERS 2
#endif
#ifndef RESCUERS
#define RESCUERS 1
#endif
#define MAX_RETRIES 2
#define MAX_LOST    2
#ifndef CRASHES
#define CRASHES 1
#endif
#ifndef RENEWALS
#define RENEWALS 1        /* no lease is renewed past start + timeout + grace */
#endif
#ifndef RELEASES
#define RELEASES 1
#endif
#ifndef REPLAYS
#define REPLAYS 1
#endif

mtype = { none, pending, processing };                    /* the row in retry_queue  */
mtype = { unfiled, buried, retrying, failed, resolved };  /* the row in dead_letter  */

mtype row = pending, letter = unfiled;
byte copies = 1;          /* rows of this id in retry_queue */
bool archived = false;    /* a row in retry_archive         */
bool deleted = false;     /* by an operator, for good       */
byte token = 0, attempt = 0, lost = 0, life = 1;
bool rescue_lease = false, lapsed = false;
byte crashes = 0, releases = 0, replays = 0;
#ifdef LAPSES
byte lapses = 0;
#endif

/* Ghosts: nobody decides by them. */
byte claim = 0;           /* the current claim's number, whatever the tokens say */
byte ends = 0;            /* ends in this life */

#ifdef COUNT_ON_FAIL      /* frozen, so that its endless loop is a cycle */
#define NEXT(counter) skip
#else
#define NEXT(counter) counter++
#endif

#ifdef NOFENCE
#define CURRENT(t) (row == processing)
#else
#define CURRENT(t) (row == processing && token == t)
#endif

#ifdef RENEW_BY_NAME
#define RENEWABLE(t) (row == processing && !rescue_lease)
#else
#define RENEWABLE(t) (CURRENT(t) && !rescue_lease)
#endif

#ifdef ENDLESS_RENEWAL
#define MAY_RENEW true
#else
#define MAY_RENEW (renewals < RENEWALS)
#endif

#define SPENT (attempt - lost >= MAX_RETRIES)
#define AMONG_THE_DEAD (letter == buried || letter == failed)

inline lease(held, mine) {
    NEXT(token); NEXT(claim); held = token; mine = claim; row = processing; lapsed = false
}

inline put_back() { row = pending; rescue_lease = false; lapsed = false }

inline leave() { row = none; copies = 0; rescue_lease = false; lapsed = false; ends++ }

inline end_well() {
    leave(); archived = true;
    letter = (letter == retrying -> resolved : letter)
}

inline file_dead() { letter = (letter == unfiled -> buried : failed) }

inline bury() {
    leave();
#ifdef SPLIT_MOVE
    to_file = true
#else
    file_dead()
#endif
}

/* The second transaction of SPLIT_MOVE: whoever crashes before it takes the retry along. */
inline file_later() {
#ifdef SPLIT_MOVE
    if
    :: to_file -> if :: crashes < CRASHES -> crashes++ :: d_step { file_dead(); to_file = false } fi
    :: else
    fi
#else
    skip
#endif
}

proctype Worker() {
    byte held, mine, renewals;
    bool success, again, to_file;
end_idle:
    held = 0; mine = 0;
    if
    :: d_step { row == pending ->
           NEXT(attempt); renewals = 0; again = false;
           lease(held, mine)
       }
    fi;
    if
    :: d_step { releases < RELEASES -> releases++;   /* not started: the attempt is given back */
           if
           :: CURRENT(held) -> assert(mine == claim); attempt--; put_back()
           :: else
           fi
       }
       goto end_idle
    :: skip
    fi;
#ifdef POISON
    goto end_idle;
#endif
running:                                             /* here is the effect, outside the database */
    if
    :: d_step { MAY_RENEW && RENEWABLE(held) ->
#ifndef ENDLESS_RENEWAL
           renewals++;
#endif
           assert(mine == claim); lapsed = false
       }
       goto running
    :: d_step { crashes < CRASHES -> crashes++ }
       goto end_idle
    :: success = true
    :: success = false
    fi;
settle:
    if
    :: d_step { CURRENT(held) -> assert(mine == claim);
#ifdef COUNT_ON_FAIL
           attempt++;
#endif
           if
           :: success -> end_well()
           :: !success && SPENT -> bury()
           :: else -> put_back()
           fi
       }
       file_later()
    :: else                                          /* stale: counted, changes nothing */
    fi;
    if
    :: !again -> again = true; goto settle           /* the answer was lost: sent once more */
    :: goto end_idle
    fi
}

#ifdef RESCUE_STALE
#define FOUND (row != none)
#else
#define FOUND (row == processing && lapsed)
#endif

proctype Rescuer() {
    byte held, mine;
    bool to_file;
end_idle:
    row == processing && lapsed;
    if
    :: d_step { FOUND ->
           assert(row == processing && lapsed);
#ifndef COUNT_ON_FAIL
#ifdef RESCUE_COUNTS
           lost++;
#else
           lost = (rescue_lease -> lost : lost + 1);
#endif
#endif
           rescue_lease = true;
#ifdef RESCUE_KEEPS_TOKEN
           claim++; held = token; mine = claim; lapsed = false
#else
           lease(held, mine)
#endif
       }
    :: else -> goto end_idle                         /* another was quicker */
    fi;
    if
    :: d_step { crashes < CRASHES -> crashes++ }
       goto end_idle
    :: skip
    fi;
    if                                               /* decide(Lost), settled as by any holder */
    :: d_step { CURRENT(held) -> assert(mine == claim);
           if
           :: lost >= MAX_LOST || SPENT -> bury()
           :: else -> put_back()
           fi
       }
       file_later()
    :: else
    fi;
    goto end_idle
}

proctype Clock() {
end_idle:
    do
#ifdef LAPSES            /* two rescuers could take from each other for ever */
    :: atomic { row == processing && !lapsed && lapses < LAPSES -> lapses++; lapsed = true }
#else
    :: atomic { row == processing && !lapsed -> lapsed = true }
#endif
    od
}

inline replay() {
    replays++; life++; letter = retrying; row = pending; copies++; attempt = 0; lost = 0; ends = 0
#ifdef TOKEN_RESET
    ; token = 0
#endif
}

proctype Operator() {
end_idle:
    do
    :: life > 0                                      /* always true: nobody has to do anything */
#ifdef RACY_REPLAY
    :: AMONG_THE_DEAD && replays <= REPLAYS -> replay()
#else
    :: d_step { AMONG_THE_DEAD && replays < REPLAYS -> replay() }
#endif
    :: d_step { row != none -> end_well() }          /* cancel: whoever holds it is fenced, the row is gone */
#ifdef RESOLVE_RETRYING
    :: d_step { letter != unfiled && letter != resolved -> letter = resolved }
#else
    :: d_step { AMONG_THE_DEAD -> letter = resolved }
#endif
    :: d_step { letter != unfiled && letter != retrying ->
           deleted = !archived; letter = unfiled
       }
    od
}

init {
    atomic {
        byte n = 0;
        do
        :: n < WORKERS -> run Worker(); n++
        :: else -> break
        od;
        n = 0;
        do
        :: n < RESCUERS -> run Rescuer(); n++
        :: else -> break
        od;
        run Clock(); run Operator()
#ifdef RACY_REPLAY
        ; run Operator()
#endif
    }
}

#define LIVE (row != none)
#define DEAD (AMONG_THE_DEAD || (letter == resolved && !archived))

ltl place   { [] (LIVE + archived + DEAD + deleted == 1) }              /* in exactly one place, always       */
ltl onecopy { [] (copies <= 1) }                                        /* never queued twice                 */
ltl filed   { [] ((letter == retrying) == (LIVE && life > 1)) }         /* the case says what its retry does  */
ltl absorb  { [] (archived -> [] (archived && !LIVE)) }                 /* done stays done                    */
ltl once    { [] (ends <= 1) }                                          /* one end per life                   */
ltl bounds  { [] (lost <= attempt && lost <= MAX_LOST && attempt - lost <= MAX_RETRIES) }
ltl ending  { <> (!LIVE && (archived || DEAD || deleted)) }             /* every retry ends, whatever crashes */
