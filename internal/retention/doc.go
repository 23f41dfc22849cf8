// Package retention decides which records are kept and which may be erased.
//
// It is pure: from what the API said (policies, holds), what it said before, an
// index of what is stored and a clock, it makes a plan. It knows no store and no
// cluster, so a plan can be shown without the power to erase.
//
// For one record, in this order:
//
//  1. A hold keeps it.
//  2. Only policies that enforce erase. Dry-run policies protect, with their keep
//     and minKeep.
//  3. Its keep is the longest among the most specific policies that match: one
//     that names the record's org is more specific than one for all, and nothing
//     else counts.
//  4. Its floor is the greatest minKeep of all policies that match.
//  5. It is due at the age of the greater of both, or at the smallest maxKeep that
//     matches; never below the floor.
//  6. Due means that its time is before now minus that age.
//
// Without a policy that enforces and matches it is never due.
//
// Every change is slow to destroy. [Memory] holds, besides the set of policies in
// force, each set that was in force before a change that has not settled yet; a
// record is due only if it is due under all of them. In doubt nothing is erased:
// a policy that makes no sense keeps all that it matches, and a hold that vanished
// stops everything.
package retention
