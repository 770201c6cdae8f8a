#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/config.h"
#include "base/result.h"
#include "proto/message_schema.h"

namespace feedvault::gateway {

/// A feed with what is known of it from the configuration. Immutable; any thread.
struct Feed {
  FeedConfig config;
  std::unique_ptr<MessageSchema> schema;

  const std::string& name() const { return config.name; }
  /// The field of that name, as in the .proto file or in JSON; nullptr when there is none.
  const MessageSchema::Field* find_field(std::string_view name) const;
};

/// All feeds of a configuration; they live as long as this does, at one address each.
class FeedList {
 public:
  /// Loads their .proto files.
  static Result<FeedList> load(const Config& config);

  const Feed* find(std::string_view name) const;
  const std::vector<std::unique_ptr<Feed>>& all() const { return feeds_; }
  /// "events, executions", for errors.
  std::string names() const;

 private:
  std::vector<std::unique_ptr<Feed>> feeds_;
};

}  // namespace feedvault::gateway
