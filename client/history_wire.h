#pragma once

#include <string>

namespace feedvault::history_wire {

// The words of the history service, for both its sides; docs/history.md has the sentences. A
// request is JSON on kSubjectPrefix + feed; its answer is a page of messages, each as in the feed
// stream or many in one (history_pack.h), and then one message without payload that has kNextSeq,
// or an error.

inline constexpr const char* kSubjectPrefix = "feed.history.";

inline constexpr const char* kNextSeq = "Feed-Next-Seq";        // where to go on
inline constexpr const char* kPacked = "Feed-Packed";           // how many this message holds
inline constexpr const char* kPage = "Feed-Page";               // kMore or kEnd
inline constexpr const char* kMore = "more";                    // there is more behind the page
inline constexpr const char* kEnd = "end";                      // the table ends behind it, for now
inline constexpr const char* kMessages = "Feed-Page-Messages";  // how many were sent
inline constexpr const char* kFirstSeq = "Feed-First-Seq";      // what the table holds; only in the
inline constexpr const char* kLastSeq = "Feed-Last-Seq";        // answer to max_messages 0

inline constexpr const char* kError = "Nats-Service-Error";  // ADR-32
inline constexpr const char* kErrorCode = "Nats-Service-Error-Code";

// Headers of a message, as in the feed stream.
inline constexpr const char* kMessageId = "Nats-Msg-Id";
inline constexpr const char* kFeedId = "Feed-Id";
inline constexpr const char* kFeedSeq = "Feed-Seq";
inline constexpr const char* kFeedTimestamp = "Feed-Timestamp";

}  // namespace feedvault::history_wire
