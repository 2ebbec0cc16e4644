//! Decides the hard limits of everything that remote input or a user can make grow.
//! What happens at a limit is written beside it.

/// A key: 1 to this many bytes of anything. Longer: refused at the write.
pub const KEY_BYTES_MAX: usize = 512;
/// A value. Longer: refused at the write.
pub const VALUE_BYTES_MAX: usize = 512 * 1024;
/// What concurrent writers may make of a value that merges, each within the limit above. More: such an
/// entry is malformed to others.
pub const MERGED_BYTES_MAX: usize = 3 * VALUE_BYTES_MAX;
/// What an entry carries beside its value, fields of later versions included, which are kept and
/// forwarded. Longer: the packet is malformed.
pub const ENTRY_EXTRA_BYTES_MAX: usize = 4096;
/// How long an entry may live that ends by itself: a year. Longer: refused at the write.
pub const LIFETIME_MS_MAX: u64 = 366 * 86_400_000;
/// A keyspace name. Longer: refused at the write.
pub const KEYSPACE_BYTES_MAX: usize = 64;
/// Keyspaces of one node. More: the write is refused; a remote entry is a counted hole.
pub const KEYSPACES_MAX: usize = 1024;
/// Keys written by one atomic write. More: refused.
pub const WRITES_PER_COMMAND_MAX: usize = 64;
/// A node name. Longer: refused at the start.
pub const NAME_BYTES_MAX: usize = 128;
/// All that a node says about itself (name, address, tags), encoded. More: refused at the change.
pub const FACTS_BYTES_MAX: usize = 768;
/// Tags of one node. More: refused at the change.
pub const TAGS_MAX: usize = 64;
/// Name of a user event.
pub const EVENT_NAME_BYTES_MAX: usize = 128;
/// Payload of a user event: one rumour frame. Longer: refused.
pub const EVENT_PAYLOAD_BYTES_MAX: usize = 700;
/// An entry whose frame is larger than this is announced by rumour and fetched by stream.
pub const RUMOUR_BYTES_MAX: usize = 1000;
/// One stream message. Longer: the connection is closed and counted.
pub const STREAM_BYTES_MAX: usize = 2 * 1024 * 1024;
/// What a reply of records or entries is filled to before it is cut and continued.
pub const PAGE_BYTES: usize = 256 * 1024;
/// Members remembered. More: further ones are refused and counted.
pub const MEMBERS_MAX: usize = 100_000;
/// Entries kept. More: own writes are refused; a remote entry is a counted hole.
pub const ENTRIES_MAX: usize = 10_000_000;
/// Members preferred at once. More: refused.
pub const PREFERRED_MAX: usize = 16;
/// Keys whose reads a node counts. More: the one read least gives way.
pub const READS_COUNTED_MAX: usize = 256;
/// Hot keys whose readers a node knows, and readers of each: 100 KiB. More: the one not heard of for
/// longest gives way, and chance finds it.
pub const HOT_KEYS_MAX: usize = 64;
pub const HOT_READERS_MAX: usize = 64;
/// News kept for members that ask. More: the oldest is left to sessions.
pub const SHELF_MAX: usize = 64;
/// Probes in flight: own, as a witness, and as a helper. More: the newest is not started.
pub const PROBES_MAX: usize = 256;
/// Accusers kept for one suspicion. More add nothing.
pub const ACCUSERS_MAX: usize = 8;
/// Suspicions held at once. More: the accusation is counted and dropped; probing finds it again.
pub const SUSPICIONS_MAX: usize = 4096;
/// Verdicts whose evidence `why` can print. More: the oldest is forgotten.
pub const EVIDENCE_MAX: usize = 1024;
/// Requests in flight from this node. More: the newest is not started.
pub const REQUESTS_MAX: usize = 64;
/// Writers named as causes of one write, about 20 bytes each. More: it says "many", and others wait
/// for a whole session with somebody who has it.
pub const CAUSES_MAX: usize = 32;
/// Entries held back until their causes are here, and their bytes. More: a rumour is a hole, asked
/// for again; a session is taken in as it comes, and causal keyspaces are not read until it is over.
pub const HELD_MAX: usize = 65_536;
pub const HELD_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Dots of overwritten entries that travel with their successor. More: the oldest are left to
/// reconciliation.
pub const SUPERSEDED_MAX: usize = 16;
/// Writers of one value that merges. More: a further writer's operation is refused.
pub const WRITERS_MAX: usize = 1024;
/// Earlier writes that a delta of such a value removes. More: the whole value travels.
pub const DELTA_REMOVED_MAX: usize = 128;
/// Deltas of several writes are joined into one up to this size. More: the oldest is left out.
pub const DELTA_BYTES_MAX: usize = 800;
/// Deltas kept while they are told. More: one is forgotten, and its whole value travels.
pub const DELTAS_KEPT_MAX: usize = 1024;
/// Reads and writes that wait until this node has what their session has seen. More: refused as busy.
pub const READERS_WAITING_MAX: usize = 1024;
/// Own writes that wait for the disk. More: the write is refused as busy.
pub const PENDING_WRITES_MAX: usize = 4096;
/// Events of one origin that wait for an earlier one. More: the newest is dropped and repaired.
pub const EVENTS_WAITING_MAX: usize = 512;
/// Events handed down the tree whose receivers have not answered, 120 bytes each. More: sent all the
/// same, but not again; own events are refused as overloaded at half of it.
pub const HANDOVERS_MAX: usize = 4096;
/// Parts of the tree that a node remembers to have answered for. More: the oldest is forgotten, and
/// told again to whoever is handed it twice.
pub const SPANS_TAKEN_MAX: usize = 1024;
/// Identities of departed members kept after they are forgotten, so that nobody brings them back.
pub const FORGOTTEN_MAX: usize = 8192;
/// Seeds.
pub const SEEDS_MAX: usize = 64;
/// Peers whose apply order position is remembered. More: the oldest is forgotten and walked anew.
pub const CURSORS_MAX: usize = 256;
/// Senders whose events are remembered. More: events of further ones are dropped and counted.
pub const EVENT_ORIGINS_MAX: usize = 20_000;
/// Writers that a version vector tells apart. More: entries of further ones are counted holes.
pub const VECTOR_ORIGINS_MAX: usize = 20_000;
/// Events kept in all windows together. More: further ones are dropped and counted.
pub const EVENTS_KEPT_MAX: usize = 131_072;
/// Senders at once whose allowance is not full, 12 bytes each, of each kind of allowance. More: further
/// ones share one.
pub const BUCKETS_MAX: usize = 65_536;
/// Allowances for senders that no member's address tells apart, by a hash of their address. More share
/// them.
pub const STRANGERS_MAX: u32 = 64;
/// Names that flapped of late, 40 bytes each. More: the changes of further ones are told like anybody's.
pub const FLAPPERS_MAX: usize = 1024;
/// Members under one name, lives that are over included. More: refused and counted.
pub const NAMESAKES_MAX: usize = 64;
/// Elements told of one range that is divided no further. More (a flood of colliding hashes): the
/// rest is not told; the other methods are not affected.
pub const WALK_LEAF_MAX: usize = 4096;
/// Ranges of one walk of two trees. More: the walk ends, another method is cheaper.
pub const WALK_SPANS_MAX: usize = 1 << 18;
/// Differences that one walk finds. More: the walk ends, another method is cheaper.
pub const WALK_FOUND_MAX: usize = 1 << 18;
/// A filter of what a node has, with ten bits for each. More: one filter for each of several ranges.
pub const FILTER_BYTES_MAX: usize = 1 << 20;
/// Receipts waited for at once. More: refused as busy.
pub const RECEIPTS_MAX: usize = 256;
/// Members kept for all receipts together. More: a further receipt is refused as busy.
pub const RECEIPT_ANSWERS_MAX: usize = 2_000_000;
/// Answers owed to members that wait for a write. More: the question is counted and forgotten; who
/// asks will ask again.
pub const OWED_MAX: usize = 4096;
/// A flag's name. Longer: refused at the change.
pub const FLAG_NAME_BYTES_MAX: usize = 128;
/// A flag's value. Longer: refused at the change.
pub const FLAG_VALUE_BYTES_MAX: usize = 16 * 1024;
/// Why a stage was stopped. Longer: refused.
pub const FLAG_REASON_BYTES_MAX: usize = 256;
/// Flags. More: the change is refused; users hear of remote ones at every write to them.
pub const FLAGS_MAX: usize = 10_000;
/// Stages under way that this node would stop by itself. More: it leaves further ones to others.
pub const STAGES_WATCHED_MAX: usize = 256;
/// Writers that are gone and were forgotten, remembered so that nobody who was late brings them back.
/// More: the oldest is forgotten as well; who is so late learns the whole state anew.
pub const PRUNED_MAX: usize = 1024;
/// Writes lost to concurrent ones that a node remembers to show. More: the oldest is forgotten.
pub const CONFLICTS_MAX: usize = 1024;
/// What is kept of the value of such a write. Longer: cut, with its length told.
pub const CONFLICT_VALUE_BYTES_MAX: usize = 4096;
/// Keys that a claim names as written since its root. More: the claim is malformed; a replica that far
/// ahead waits for a newer root.
pub const CLAIM_CHANGES_MAX: usize = 100_000;
/// Verified roots of one scope. More: the oldest is forgotten, and verified again when it is built on.
pub const ROOTS_KEPT_MAX: usize = 16;
/// Signatures of roots being checked. More: the root is refused as busy.
pub const ROOTS_ASKED_MAX: usize = 64;
/// A signature. Longer: the root is malformed.
pub const SIGNATURE_BYTES_MAX: usize = 128;
/// An aggregate's name. Longer: refused.
pub const AGGREGATE_NAME_BYTES_MAX: usize = 64;
/// Aggregates of one node. More: refused; an exchange about a further one is counted and dropped.
pub const AGGREGATES_MAX: usize = 64;
/// Peers that one epoch of an aggregate exchanges with. More: a further one is not answered.
pub const AGGREGATE_PEERS_MAX: usize = 1024;
/// Elements that one request may make a node code into symbols. More: it answers with fewer symbols,
/// and the asker asks by parts.
pub const CODED_ELEMENTS_MAX: usize = 65_536;
/// Entries that came and went since the live set was last asked for. More: it takes them in, which it
/// does more cheaply the more there are.
pub const LIVE_CHANGES_MAX: usize = 512;
/// Coded symbols of one answer. More: the rest is left out and asked for again.
pub const SYMBOLS_MAX: usize = 16_384;
/// Entries asked for by print in one request. More: refused as malformed.
pub const WANTS_MAX: usize = 4_096;
/// Differences held by one session at once. More: fetched before further ones are looked for.
pub const DIFFERENCES_MAX: usize = 65_536;
/// Requests of one session. More: it is broken off; what came stays, and the next one goes on.
pub const SESSION_REQUESTS_MAX: u32 = 10_000;
/// Entries checked for bit rot in one step. More are due: the cycle takes longer than it is set to.
pub const SCRUB_STEP_MAX: usize = 4_096;
/// Broken entries that wait to be fetched again. More: found again in the next cycle.
pub const ROTTEN_MAX: usize = 256;
/// Peers remembered for symbols that did not add up. More: the first by id is forgotten.
pub const DISTRUSTED_MAX: usize = 256;
