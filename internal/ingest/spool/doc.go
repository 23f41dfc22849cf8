// Package spool is a queue on disk: what was appended is durable, and is given out
// until somebody confirms that it is safe elsewhere.
//
// # What it promises
//
// When Append has returned nil, each entry of the batch comes out of Take, as it
// was appended and in order, by this Spool once and by each that is opened after a
// crash again, until it is confirmed and the confirmation was written down. That
// holds when the process is killed and when the power is cut, as long as the disk
// keeps what it said was synced. What the disk damaged is found by checksums and
// reported with its extent; the entries before and behind it are not lost with it.
// When Append has returned an error, nothing of the batch comes out.
//
// Memory is bounded by Options.PendingBytes, by what is taken and not confirmed,
// and by one read buffer. Disk is bounded by Options.MaxBytes, beside a progress
// file of at most 600 KiB and, while the spool has failed, a trial file of 1 MiB.
//
// # Segments
//
// The folder holds a lock, the progress file and segments, named
//
//	<number>-<first sequence number>-<marker>.v1
//
// A segment is a row of frames, without anything before, between or behind them.
// All numbers are little-endian:
//
//	offset  bytes
//	     0      8  the segment's marker, random, in hex in its name
//	     8      8  sequence number, from 1 on
//	    16      8  time of the append, microseconds since 1970
//	    24      4  offset in the segment at which the write began that this
//	               frame was part of; all before it was durable by then
//	    28      4  length of the entry
//	    32      4  CRC-32C of the entry
//	    36      4  CRC-32C of the 36 bytes before
//	    40         the entry
//
// Behind a frame that is damaged the reader goes on at the next marker with a
// whole header. That the marker is random, and not the same in two segments, keeps
// a sender from writing entries that would then pass for frames. How many records
// were lost follows from the sequence numbers on both sides; where a segment ends,
// the next one's name says with which number. So a segment that is removed while
// an older one exists leaves an empty file, with the suffix .v1.done, in its place.
//
// # Failures
//
// A write that fails is cut off again, durably. After a sync that fails nobody
// knows what is on disk, and the kernel says it once only: the file is cut back
// and never written again, and the batches go into a new segment. A segment that
// could not be cut back is told by the next one's first number too.
//
// No segment is appended to by a later Spool. Opening reads only the last one,
// which a crash may have torn: what looks torn at its end (shorter than a frame,
// or with a sector that was never written) is cut off. What does not is damage; it
// is called doubtful when it lies in the last write, as nobody can tell then
// whether that was acknowledged.
//
// The progress file says up to where entries were taken and which of these are not
// confirmed. It is written after the fact and bound to the segments by their
// markers, so that it can be lost or stale: then entries are given out again.
//
// What is not found: that the oldest, or the newest, segments were deleted whole.
// A segment that the disk refuses to read holds up those behind it; Take returns
// the error until it can be read.
//
// # Why none of the libraries
//
// Each of these keeps a log well for what it was made for, but none goes on behind
// damage in the middle, and none shares one sync among all that wait, with a bound
// on their bytes:
//
//   - github.com/tidwall/wal has no checksums, keeps whole segments in memory, and
//     does not open a log whose end is torn.
//   - The log in github.com/prometheus/prometheus/tsdb/wlog has checksums and
//     pages, syncs a segment when it is done and not each record, and its repair
//     discards all that follows the first damage.
//   - github.com/hashicorp/raft-wal syncs each batch of its one writer, trusts the
//     disk with what was committed, and stops at the first frame that is not whole.
//   - The log of go.etcd.io/etcd/server chains its checksums, so that none behind
//     damage can be checked.
//   - github.com/nsqio/go-diskqueue acknowledges before it syncs, has no checksums,
//     and sets a whole file aside for one bad length.
package spool
