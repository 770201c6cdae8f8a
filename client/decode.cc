#include "client/decode.h"

#include <limits>

#include "proto/message_check.h"

namespace feedvault {
namespace {

template <typename MessageType>
Result<MessageType> decode(std::string_view data) {
  static const MessageCheck check(*MessageType::descriptor());
  MessageType message;
  if (data.empty()) {
    return Status(StatusCode::kCorruption, "empty payload");
  }
  if (data.size() > static_cast<std::size_t>(std::numeric_limits<int>::max()) ||
      !message.ParsePartialFromArray(data.data(), static_cast<int>(data.size()))) {
    return Status(StatusCode::kCorruption,
                  "not a message of type " + MessageType::descriptor()->full_name());
  }
  RETURN_IF_ERROR(check.check(message));
  return message;
}

}  // namespace

Result<event> decode_event(std::string_view data) {
  return decode<event>(data);
}

Result<execution> decode_execution(std::string_view data) {
  return decode<execution>(data);
}

}  // namespace feedvault
