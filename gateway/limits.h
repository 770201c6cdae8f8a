#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace feedvault::gateway {

// Every bound of the gateway that is not configuration, with its reason. Configurable ones are in
// base/config.h, [http].

/// A request's line and headers. A browser's cookies of other services on the same host fit.
inline constexpr std::size_t kHeaderBytesMax = 16U << 10U;
inline constexpr std::size_t kHeadersMax = 100;
inline constexpr std::size_t kTargetBytesMax = 8U << 10U;
/// No call of ours takes more than a few words.
inline constexpr std::size_t kRequestBodyBytesMax = 16U << 10U;

/// Read from a connection at once: an idle reader holds this buffer, so it is small.
inline constexpr std::size_t kReadBytes = 2048;
/// Given to the kernel at once. A reader that is slow holds so much of ours, whatever it asked for.
inline constexpr std::size_t kWriteBytes = 64U << 10U;
inline constexpr std::size_t kWritePieces = 128;
/// What a refused client may still send before it is cut off: closing at once would reset the
/// connection, and the answer would be lost on the way.
inline constexpr std::size_t kDiscardBytesMax = 64U << 10U;
inline constexpr std::chrono::seconds kLingerMax{2};

/// Silent streams get a comment so often: proxies and browsers take silence for death after 30 s
/// and more.
inline constexpr std::chrono::seconds kHeartbeatInterval{10};
/// How often deadlines are looked at; they are late by at most this.
inline constexpr std::chrono::milliseconds kTick{100};
/// At the end of the process, for answers that are under way.
inline constexpr std::chrono::seconds kDrainMax{5};
/// And then for threads that wait for a database or a broker that does not answer: there is nothing
/// that they could still do.
inline constexpr std::chrono::seconds kLeaveMax{2};

/// Jobs that wait for a database connection; more are refused with 503.
inline constexpr std::size_t kJobsMax = 20'000;

/// A page of the table: what one job reads at once. The first of an answer is small, so that its
/// first byte does not wait for rows that come later.
inline constexpr std::size_t kFirstRows = 128;
inline constexpr std::size_t kPageRows = 4096;
inline constexpr std::size_t kPageBytes = 512U << 10U;
/// Encoded and not yet taken by the connection, per answer; the table is read on below that.
inline constexpr std::size_t kAheadBytes = 1U << 20U;
/// Positions that one filtered statement looks at, so that none runs for long.
inline constexpr std::uint64_t kScanPositions = 20'000;
/// Rows of an answer when the request does not say.
inline constexpr std::uint64_t kLimitDefault = 1000;

/// Live events kept for readers of one feed; readers further behind read the table.
inline constexpr std::size_t kRingEvents = 8192;
inline constexpr std::size_t kRingBytes = 8U << 20U;
/// What a reader that is behind the ring reads from the table at once.
inline constexpr std::size_t kCatchUpRows = 512;
inline constexpr std::size_t kCatchUpBytes = 128U << 10U;
inline constexpr std::chrono::milliseconds kCatchUpRetry{500};

/// How often counts, rates and lags of /feeds are measured.
inline constexpr std::chrono::milliseconds kWatchInterval{1000};
/// Of which so many are kept for plots: five minutes.
inline constexpr std::size_t kActivitySamples = 300;

static_assert(kFirstRows <= kPageRows);
static_assert(kCatchUpRows <= kRingEvents, "what was read from the table must meet the ring");

}  // namespace feedvault::gateway
