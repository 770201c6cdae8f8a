#include "gateway/feed.h"

namespace feedvault::gateway {

const MessageSchema::Field* Feed::find_field(std::string_view field_name) const {
  for (const MessageSchema::Field& field : schema->fields()) {
    if (field.name == field_name || field.json_name == field_name) {
      return &field;
    }
  }
  return nullptr;
}

Result<FeedList> FeedList::load(const Config& config) {
  FeedList list;
  for (const FeedConfig& feed : config.feeds) {
    ASSIGN_OR_RETURN(auto schema, MessageSchema::load(feed.proto, feed.message));
    list.feeds_.push_back(std::make_unique<Feed>(Feed{feed, std::move(schema)}));
  }
  return list;
}

const Feed* FeedList::find(std::string_view name) const {
  for (const auto& feed : feeds_) {
    if (feed->name() == name) {
      return feed.get();
    }
  }
  return nullptr;
}

std::string FeedList::names() const {
  std::string names;
  for (const auto& feed : feeds_) {
    names += (names.empty() ? "" : ", ") + feed->name();
  }
  return names;
}

}  // namespace feedvault::gateway
