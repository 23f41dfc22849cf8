// Package deadletter keeps what came in and cannot be stored: malformed events,
// records that the store refuses for ever, damaged parts of the spool. Nothing
// is thrown away for being one too many: a full folder takes no more letters, and
// whoever has one keeps what it is about.
//
// A folder holds files named 0000000000000001.letters and so on, which grow at
// their end until they have some 2 MiB. Each line is one letter: the CRC-32C of
// what follows in 8 hex digits, a space, and the letter as JSON. A last line
// without its end was never acknowledged and is cut off by the next Put. A line
// whose checksum is wrong is shown as a letter of the cause damaged, so that it
// can be looked at and discarded like any other.
//
// The server and the commands that look after letters use the same folder at the
// same time: each operation holds a lock (flock) on the folder's file "lock" for
// as long as it reads or writes one of the files. Letters may hold secrets that
// scrubbing does not know, so all of it is readable by its owner alone.
package deadletter
