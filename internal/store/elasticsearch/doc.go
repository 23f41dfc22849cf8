// Package elasticsearch keeps records in Elasticsearch.
//
// # Indices
//
// Each kind of record has one plain index per month (or day), named by it:
// auditquery-audit-2026.11. The writer creates them explicitly; names sort as
// their times do. A template of ours forbids their automatic creation, so that
// a bulk request into an index that was just deleted fails, instead of making
// one with guessed mappings. An index without our layout in its _meta is never
// written to, and a question that would touch it is refused.
//
// # No missing part looks like an empty one
//
// A search must not miss an index that another process created a moment ago,
// and must not take an index that somebody deleted for one that never was. Both
// without a request per question. So:
//
//   - The writer keeps the names of the indices that hold records in one
//     document of its own, the state. It is written after an index is created
//     and before the first record goes in; whoever erases an index takes its
//     name out first. Hence every record is in an index that the state names.
//   - Readers keep a snapshot of the state and of the indices that exist, at
//     most maxSnapshotAge old. A state that disappears or goes backwards, a name
//     in it without an index, an index without our layout: each is an error for
//     the questions that it concerns.
//   - A search names the indices that the snapshot's state lists for its window
//     exactly: Elasticsearch itself then refuses it (404, or 400 for a closed
//     index) if one is gone at that moment, however old the snapshot is. Such a
//     refusal makes us take a new snapshot, once: an erased index is no longer
//     in the state, a deleted one still is.
//   - Beside them it asks for wildcards that cover every index name of the
//     window and no other (see cover), which Elasticsearch resolves at that
//     moment: so what was created since the snapshot is found, and what does
//     not exist costs nothing.
//   - Where the exact names would make the URL too long, only the wildcards are
//     sent, and the number of shards in the answer must reach that of the
//     indices known.
//
// # Erasing a whole index
//
// Nothing that was acknowledged is lost, although writers in other processes
// have snapshots of before, and although a process may stop anywhere and go on
// when others have taken over. The steps of EraseStretch:
//
//  1. The erasure is entered into the state, as preparing. The index stays among
//     those that must be there.
//  2. Writes to the index are blocked. Then it is refreshed, and what is not
//     doomed is counted. If there is any, all is undone.
//  3. An alias of the state's index is made, the token. The index is taken out
//     of the state, where the erasure is now decided, unless it was undone.
//  4. The index is deleted, together with the token or not at all.
//  5. The erasure is taken out of the state.
//
// A writer that wrote to an index that is over reads the state again before it
// acknowledges (confirm): there is no erasure of it, so any that comes counts what
// was written, and none was decided since the writer looked, so it is the same
// index. The index of now needs no such look, since it is not erased as a whole.
// The block only spares writers the detour. A writer that meets an erasure, a
// block, or no index although the state names none, fails as Unavailable: its
// records are sent again, and make the index anew once the erasure has ended.
//
// Whoever undoes an erasure takes its token first, then looks whether the index
// is there, and then takes the entry out: who was stopped before step 4 can't
// delete any more, and who was stopped before step 3 finds no entry of its own.
// So undoing is safe at any time. What was decided is undone as well if the index
// is still there: the decision may be old. While it is decided readers find it by
// the wildcards alone: its records are in their answers or not, and both is right.
//
// # What goes on when nobody waits for it
//
// Elasticsearch does not stop a bulk, or a change of aliases, when its client goes
// away. So a call that erases ends when two thirds of its caller's time are over,
// and its requests carry that time as their own timeouts. A request whose outcome
// is not known is looked for among Elasticsearch's tasks, by the X-Opaque-Id of
// all that erase: nothing more is erased until it has ended (see settle), and
// FinishErasing looks for those of other processes.
//
// # Notes
//
// A note is a document beside the state, which names each note that anybody may
// rely on: it is entered before its first write is acknowledged, or before it is
// first read. So one that is lost is not taken for one that never was.
//
// # What is not noticed
//
// An index that came into being and was deleted from outside within
// maxSnapshotAge is not missed by a process that never saw it.
package elasticsearch
