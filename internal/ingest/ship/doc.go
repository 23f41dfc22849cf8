// Package ship takes records from the spool to the store.
//
// A record leaves the spool when it has a place: the store has it, or the dead
// letters have. Whatever else happens (the store is away, or slow, or full; the
// dead letters are) it stays in the spool and is tried again.
//
// One goroutine, the dispatcher, decides what is sent next and holds all state;
// workers send groups of records and settle what became of each. Three things
// keep one bad record from delaying its neighbours:
//
//   - Of a group only the records that failed are sent again, after a wait of
//     their own that grows to 30 s, while the others are done.
//   - A group that failed as a whole, and would have succeeded by the look of
//     those after it, is sent again in halves, until the bad record is alone. One
//     such group is under way at a time, and so many are kept apart at most.
//   - Only what is sent for the first time says that the store is away; what has
//     failed before may be at fault itself.
//
// When the store is away one group at a time asks for it, with growing waits, and
// the first success releases all. How many records a group has follows what the
// store takes: it is halved when the store refuses some, or is slow, and grows
// by steps while all is well. Memory is bounded: what waits to be sent again has
// a bound in records and bytes, and while it is reached nothing new is taken.
package ship
