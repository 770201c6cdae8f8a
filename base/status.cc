#include "base/status.h"

namespace feedvault {

std::string_view status_code_name(StatusCode code) {
  switch (code) {
    case StatusCode::kOk:
      return "ok";
    case StatusCode::kNotFound:
      return "not found";
    case StatusCode::kInvalidArgument:
      return "invalid argument";
    case StatusCode::kProtocol:
      return "protocol";
    case StatusCode::kDuplicate:
      return "duplicate";
    case StatusCode::kTimeout:
      return "timeout";
    case StatusCode::kUnavailable:
      return "unavailable";
    case StatusCode::kExhausted:
      return "exhausted";
    case StatusCode::kIo:
      return "io";
    case StatusCode::kCorruption:
      return "corruption";
    case StatusCode::kUnknownOutcome:
      return "unknown outcome";
    case StatusCode::kFenced:
      return "fenced";
    case StatusCode::kCancelled:
      return "cancelled";
    case StatusCode::kInternal:
      return "internal";
  }
  return "unknown";
}

Status Status::with_context(std::string_view context) const {
  if (ok()) {
    return *this;
  }
  std::string text(context);
  text += ": ";
  text += message_;
  return {code_, std::move(text)};
}

std::string Status::to_string() const {
  std::string text(status_code_name(code_));
  if (!message_.empty()) {
    text += ": ";
    text += message_;
  }
  return text;
}

}  // namespace feedvault
