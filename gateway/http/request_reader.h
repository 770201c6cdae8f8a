#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "gateway/http/message.h"

namespace feedvault::gateway {

/// Makes requests out of a connection's bytes, however they are cut, within the bounds of limits.h.
/// One request after another; whatever follows a request stays with the caller. One thread.
class RequestReader {
 public:
  enum class State { kNeedMore, kComplete, kRefused };

  RequestReader();
  ~RequestReader();
  RequestReader(const RequestReader&) = delete;
  RequestReader& operator=(const RequestReader&) = delete;

  /// Takes bytes off the front of `bytes`. kNeedMore: call again with what is left and more behind
  /// it. After kRefused the connection is of no more use.
  State feed(std::string& bytes);

  /// Part of a request has been taken.
  bool in_request() const { return parser_ != nullptr; }

  /// After kComplete, once.
  Request take();

  /// After kRefused: the status for it, and what is wrong.
  int refused_status() const { return refused_status_; }
  const std::string& refused_reason() const { return refused_reason_; }

 private:
  struct Parser;
  State refuse(int status, std::string reason);
  State check();

  std::unique_ptr<Parser> parser_;  // null between two requests: a waiting connection holds none
  std::size_t taken_bytes_ = 0;     // of this request
  int refused_status_ = 0;
  std::string refused_reason_;
};

}  // namespace feedvault::gateway
