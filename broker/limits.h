#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace feedvault::broker {

// Every bound of the broker that is not an option, with its reason and what happens when it is
// reached. Bytes and counts. What an operator may want to change is in options.h.

/// One read from a socket, into the loop's own buffer: idle connections hold none. 64 KB amortizes
/// the system call to nothing and stays in the second-level cache.
inline constexpr std::size_t kReadBytes = 64U << 10U;

/// Reads from one connection before the others have their turn; only taken while what each receiver
/// got is small, so that one writev carries more messages.
inline constexpr int kReadsPerTurnMax = 16;
/// ... and "small" is this many bytes a receiver on average.
inline constexpr std::size_t kWorthwhileWriteBytes = 8U << 10U;

/// A read that was not filled was probably the last. Reading made room for the sender's next bytes,
/// though: with so many receivers to write to, looking costs little beside what it may save.
inline constexpr std::size_t kManyReceivers = 32;

/// Output produced in one turn before it is flushed in the middle of it: bounds what a large
/// fan-out of one read can pile up for healthy receivers.
inline constexpr std::size_t kTurnOutputBytesMax = 4U << 20U;

/// Sizes of output chunks. A connection's first chunk is the small one, so that 10,000 receivers of
/// a short message cost 10 MB and not 640.
inline constexpr std::size_t kSmallChunkBytes = 1U << 10U;
inline constexpr std::size_t kMediumChunkBytes = 8U << 10U;
inline constexpr std::size_t kLargeChunkBytes = 64U << 10U;
/// Free chunks that a loop keeps of each size, in bytes; more are returned to the system.
inline constexpr std::size_t kPooledBytesMax = 4U << 20U;

/// A message that many subscriptions match, or one that takes a long search, is work beside the
/// output it makes: each subscription and each node of the index counts like so many bytes of it.
inline constexpr std::size_t kWorkBytes = 32;
/// Who still publishes much when a turn has lasted this long is suspended until the next one, so
/// that others are served in between.
inline constexpr std::chrono::milliseconds kLongTurn{4};
/// ... and while somebody is, reads are no larger than this.
inline constexpr std::size_t kLoadedReadBytes = 8U << 10U;

/// malloc keeps what is freed between what is not. After so many bytes of freed chunks, and so much
/// later, it is told to return all of that to the system: what a crowd of slow consumers had
/// pending does not stay.
inline constexpr std::size_t kTrimBytes = 16U << 20U;
inline constexpr std::chrono::seconds kTrimDelay{5};

/// Pieces in one writev; Linux takes no more than 1024.
inline constexpr std::size_t kIovecsMax = 64;

/// A parser's scratch, for what was split over reads, is freed after use above this size.
inline constexpr std::size_t kKeptScratchBytes = 512;

/// Sizes in control lines have at most so many digits, as in nats-server: no overflow in 32 bits.
inline constexpr std::size_t kSizeDigitsMax = 9;

/// A receiver with more than this pending makes its producers wait, if it is fast: what is waiting
/// stays in the caches. See Connection::stall_for_producers().
inline constexpr std::size_t kSoftPendingBytes = 2U << 20U;
/// How much a receiver must have taken in kDrainWindow to be worth waiting for.
inline constexpr std::size_t kFastDrainBytes = 1U << 20U;
inline constexpr std::chrono::milliseconds kDrainWindow{100};
/// The longest that one read of a producer is held up by slow receivers. By one on another loop,
/// which cannot say when it has caught up: as long as it will probably take, within these bounds.
inline constexpr std::chrono::milliseconds kStallMin{2};
inline constexpr std::chrono::milliseconds kStallMax{10};
/// After that a producer is read from once a turn, so many times.
inline constexpr std::uint8_t kCarefulReads = 16;
/// A receiver that has taken nothing for so long is not waited for any more.
inline constexpr std::chrono::milliseconds kStallGiveUp{1000};

/// Deliveries for another loop, in bytes that receivers will get: handed over in the middle of a
/// turn above the first; producers wait for that loop above the second. A message for ten of its
/// subscriptions counts ten times, so that a fan-out there does not fill a receiver up before
/// anybody knows.
inline constexpr std::size_t kOutboxBytesMax = 512U << 10U;
inline constexpr std::size_t kInboxBytesMax = 4U << 20U;
static_assert(kInboxBytesMax >= 2 * kOutboxBytesMax);

/// What waits for the streams' loop, in the same bytes. Above the first, who publishes to a stream
/// is not read from until half of it is worked off; above the second, whoever sends the loop
/// anything: requests and acknowledgements go on a little longer. Each producer can be one read
/// over it, and each loop one outbox.
inline constexpr std::size_t kStreamInboxBytesMax = 16U << 20U;
inline constexpr std::size_t kStreamInboxBytesHard = 2 * kStreamInboxBytesMax;
static_assert(kStreamInboxBytesMax >= 8 * kOutboxBytesMax);
/// The streams' loop hands over after so much, before a pulled batch is complete: the client reads
/// the first of it while the rest is read from disk.
inline constexpr std::size_t kStreamOutboxBytesMax = 64U << 10U;
/// The streams' loop stores and answers at least so often: bytes of its inbox worked off at once.
inline constexpr std::size_t kStreamSliceBytes = 1U << 20U;
/// While a loop of connections has more than this in its inbox, consumers deliver nothing. Below
/// what makes publishers' loops wait.
inline constexpr std::size_t kDeliveryInboxBytes = 2U << 20U;
static_assert(kDeliveryInboxBytes <= kInboxBytesMax);
/// ... and to a receiver with more than this pending (or a quarter of max_pending), until it has
/// half of it: it is not too slow for what can wait. More than the loop's inbox holds, so that one
/// that keeps up never gets there.
inline constexpr std::size_t kStreamsPendingBytes = 4U << 20U;
static_assert(kStreamsPendingBytes >= kDeliveryInboxBytes + kOutboxBytesMax);
/// At a graceful stop: how long messages that no disk takes may keep the program.
inline constexpr std::chrono::seconds kStreamDrainTime{30};

/// Literal and wildcard results that a loop remembers.
inline constexpr std::size_t kMatchCacheSlots = 4096;
static_assert((kMatchCacheSlots & (kMatchCacheSlots - 1)) == 0, "a slot is picked with a mask");
/// Results with more subscriptions than this are not remembered, only computed.
inline constexpr std::size_t kCachedMatchMax = 4096;
/// Those with more than the first are large, and a loop remembers no more members of large ones
/// than the second: 8 MB. (The others together cannot have more than twice that.)
inline constexpr std::size_t kLargeMatch = 64;
inline constexpr std::size_t kCachedMembersMax = 1U << 20U;
static_assert(kCachedMatchMax * 2 < kCachedMembersMax);
/// Longer subjects are not remembered.
inline constexpr std::size_t kCachedSubjectBytesMax = 256;

/// Tokens of a filter: bounds the depth of recursion into the index. More is refused as an invalid
/// subject; with the default max_control_line nobody can send more than 2048.
inline constexpr std::size_t kFilterTokensMax = 8192;

/// Times that a queue message looks for another member because the chosen one had gone meanwhile.
inline constexpr int kQueueRetriesMax = 3;

/// A connection that is told why it must go gets this long, and this much more of its input is
/// thrown away, so that the reason arrives before a reset does.
inline constexpr std::chrono::milliseconds kLingerTime{1000};
inline constexpr std::size_t kLingerBytesMax = 8U << 20U;

/// A request for a WebSocket is at most this long, cookies included; more is answered with 431.
inline constexpr std::size_t kUpgradeBytesMax = 16U << 10U;
/// Output that is compressed in one go: bounds the time that takes, and the copy.
inline constexpr std::size_t kCompressBytesMax = 64U << 10U;

/// Subscriptions of closed connections that a loop takes out of the index in one turn, and of one
/// of them before it looks at the next. The index is locked meanwhile: a millisecond.
inline constexpr std::size_t kRemovalsPerTurnMax = 2048;
inline constexpr std::size_t kRemovalsAtOnceMax = 256;

/// Waiting connections in the kernel's accept queue, and how many are accepted in one turn.
inline constexpr int kListenBacklog = 4096;
inline constexpr int kAcceptsPerTurn = 256;
/// After the process ran out of file descriptors, accepting pauses for this long.
inline constexpr std::chrono::milliseconds kAcceptPause{100};

/// Requests to $SYS.REQ.> that wait for their answer: in all, and of one connection. Who has more
/// under way hears of no responders. Ordinary users together have half.
inline constexpr std::size_t kSystemRequestsMax = 256;
inline constexpr std::size_t kSystemRequestsPerConnection = 16;
/// Longer payloads of such requests count as empty: they are options.
inline constexpr std::size_t kSystemRequestBytesMax = 64U << 10U;
/// Clients that came or went and are still to be announced; more are not announced.
inline constexpr std::size_t kSystemEventsMax = 8192;
/// Between announcements of how many clients an account has: each takes a look at all of them.
inline constexpr std::chrono::milliseconds kAccountConnsInterval{100};
/// Between announcements of the server's statistics.
inline constexpr std::chrono::seconds kStatszInterval{10};

/// Events taken from the kernel in one turn.
inline constexpr int kEventsPerTurn = 256;

/// At a graceful stop: how long clients may take to receive what is pending for them.
inline constexpr std::chrono::milliseconds kDrainTime{3000};

}  // namespace feedvault::broker
