#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace feedvault::controller {

// Every bound of the pipeline that is not configuration, with its reason. Configurable ones are in
// base/config.h, [controller].

/// Room that our headers may take beside a payload of the broker's max_payload: two ids of at most
/// 255 bytes, three numbers, a time and the header names.
inline constexpr std::int64_t kHeaderBytesMax = 1024;

/// MySQL column Messages.id.
inline constexpr std::size_t kIdBytesMax = 255;

/// Committed rows that wait for the publisher; when it is full the committer waits.
inline constexpr std::size_t kPublishQueueRows = 8192;
inline constexpr std::size_t kPublishQueueBytes = 16U << 20U;

/// Rows and bytes that the publisher reads from the table at once while it catches up.
inline constexpr std::size_t kBacklogRows = 1024;
inline constexpr std::size_t kBacklogBytes = 4U << 20U;

/// So many rows at once, at most, are each written to the broker by itself.
inline constexpr std::size_t kPromptRows = 16;

/// Queued bursts up to this size are flushed at once instead of waiting for cnats' flusher, which
/// collects for about a millisecond: that would double the latency of a quiet feed, and costs
/// nothing at high rates.
inline constexpr std::size_t kFlushBurstMax = 64;

/// A broker that does not acknowledge for so long is called away.
inline constexpr std::chrono::seconds kPubAckTimeout{5};

/// One request of the JetStream API.
inline constexpr std::chrono::milliseconds kApiTimeout{3000};
/// How long messages that were read may take to become durable before they count as lost.
inline constexpr std::chrono::milliseconds kDurableWait{1000};

/// How long shutdown may take for what is in memory.
inline constexpr std::chrono::seconds kDrainTimeout{5};

/// Requeue requests are looked for so often, and so many are taken at once.
inline constexpr std::chrono::milliseconds kRequeueInterval{1000};
inline constexpr std::size_t kRequeueRows = 100;

/// Lag, silence and stuckness are measured so often.
inline constexpr std::chrono::milliseconds kMonitorInterval{1000};

/// A standby asks for the election again so often.
inline constexpr std::chrono::milliseconds kElectionWait{1000};

/// Waits between attempts while the broker or the database is away.
inline constexpr std::chrono::milliseconds kRetryFirst{50};
inline constexpr std::chrono::milliseconds kRetryMost{2000};

/// A duplicate window of the streams that is as small as servers accept. The compare-and-set on the
/// stream sequence and the unique ids in MySQL are the proof; the broker's window would only cost
/// it memory, and on the ingest side hide conflicts (same id, other bytes) from us.
inline constexpr std::int64_t kDuplicateWindowNs = 100'000'000;

}  // namespace feedvault::controller
