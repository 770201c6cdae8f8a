#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

namespace feedvault {

/// What the caller can do about a failure; the text says the rest. Small on purpose.
enum class StatusCode : std::uint8_t {
  kOk,
  kNotFound,         // the named thing does not exist
  kInvalidArgument,  // the caller, a user or a configuration file is wrong; retrying cannot help
  kProtocol,         // the peer said something that its protocol does not allow
  kDuplicate,        // it is there already
  kTimeout,          // no answer in time
  kUnavailable,      // infrastructure is away; retry with backoff
  kExhausted,        // a named limit is reached
  kIo,               // the operating system refused
  kCorruption,       // stored data is not what was stored
  kUnknownOutcome,   // it may or may not have happened: look before doing anything
  kFenced,           // somebody else has taken over; stop writing
  kCancelled,        // we were asked to stop
  kInternal,         // a bug of ours
};

/// The code's name as it appears in logs ("not found").
std::string_view status_code_name(StatusCode code);

/// Outcome of an operation that can fail in expected ways: a code to act on and a text for people.
/// Value type. An ok Status holds no text and allocates nothing.
class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(StatusCode code, std::string message) : code_(code), message_(std::move(message)) {}

  static Status ok_status() { return {}; }

  bool ok() const { return code_ == StatusCode::kOk; }
  StatusCode code() const { return code_; }
  const std::string& message() const { return message_; }

  /// The same failure with context put before its text: "connect: refused".
  Status with_context(std::string_view context) const;

  /// "unavailable: connection refused".
  std::string to_string() const;

  friend bool operator==(const Status& a, const Status& b) {
    return a.code_ == b.code_ && a.message_ == b.message_;
  }

 private:
  StatusCode code_ = StatusCode::kOk;
  std::string message_;
};

inline Status not_found(std::string m) {
  return {StatusCode::kNotFound, std::move(m)};
}
inline Status invalid_argument(std::string m) {
  return {StatusCode::kInvalidArgument, std::move(m)};
}
inline Status protocol_error(std::string m) {
  return {StatusCode::kProtocol, std::move(m)};
}
inline Status timeout_error(std::string m) {
  return {StatusCode::kTimeout, std::move(m)};
}
inline Status unavailable(std::string m) {
  return {StatusCode::kUnavailable, std::move(m)};
}
inline Status io_error(std::string m) {
  return {StatusCode::kIo, std::move(m)};
}
inline Status internal_error(std::string m) {
  return {StatusCode::kInternal, std::move(m)};
}
inline Status cancelled(std::string m) {
  return {StatusCode::kCancelled, std::move(m)};
}

}  // namespace feedvault

#define RETURN_IF_ERROR(expr)                                  \
  do {                                                         \
    if (::feedvault::Status status_ = (expr); !status_.ok()) { \
      return status_;                                          \
    }                                                          \
  } while (false)
