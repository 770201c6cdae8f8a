#pragma once

#include <memory>
#include <string_view>

#include "proto/message_schema.h"

namespace feedvault {

/// Makes FeedMessage::decoded: one message object, filled anew for each payload, so that a feed
/// costs no allocation a message. One thread.
class FeedDecoder {
 public:
  virtual ~FeedDecoder() = default;
  /// Lives until the next call; nullptr for bytes that are no such message.
  virtual const google::protobuf::Message* decode(std::string_view data) = 0;
};

/// By `schema` when given, else by our generated types when the feed is one of ours; nullptr when
/// neither applies.
std::unique_ptr<FeedDecoder> make_feed_decoder(std::string_view feed, const MessageSchema* schema);

}  // namespace feedvault
