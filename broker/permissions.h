#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "broker/options.h"

namespace feedvault::broker {

/// A set of subject patterns, made once and then only asked. Asking allocates nothing; literal
/// patterns cost one hash look-up, wildcard ones a comparison for each that shares the first token.
class SubjectSet {
 public:
  /// Requires: a valid subject filter ("a.*", "b.>"); others are kInvalidArgument.
  Status add(std::string_view pattern);

  bool empty() const { return literals_.empty() && by_first_token_.empty() && wild_first_.empty(); }
  /// Does a pattern match this literal subject?
  bool matches(std::string_view subject) const;
  /// Does one pattern match everything that `filter` matches? (Subset, token by token.)
  bool covers(std::string_view filter) const;
  /// Is there a subject that both `filter` and a pattern match?
  bool overlaps(std::string_view filter) const;

 private:
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const {
      return std::hash<std::string_view>{}(text);
    }
  };
  std::unordered_set<std::string, Hash, std::equal_to<>> literals_;
  std::unordered_map<std::string, std::vector<std::string>, Hash, std::equal_to<>> by_first_token_;
  std::vector<std::string> wild_first_;
};

/// What one user may publish and subscribe to. Immutable, shared by all loops; any thread. A user
/// who may do everything has none (null pointer), so that the common case costs one comparison.
class Permissions {
 public:
  static Result<std::shared_ptr<const Permissions>> make(const PermissionRules& rules);

  /// The subject of a PUB, taken literally.
  bool can_publish(std::string_view subject) const;
  /// A SUB's filter, and its queue group or "". A filter that reaches beyond what is allowed, or is
  /// denied as a whole, is refused; one of which only a part is denied is accepted: see
  /// filters_delivery().
  bool can_subscribe(std::string_view filter, std::string_view queue) const;
  /// True when some subjects that `filter` matches are denied: ask can_receive() at each delivery
  /// to that subscription. Ask once, at SUB.
  bool filters_delivery(std::string_view filter) const;
  bool can_receive(std::string_view subject) const;

  /// Null when allow_responses is off.
  const ResponseRules* responses() const { return responses_ ? &*responses_ : nullptr; }

 private:
  struct QueueEntry {
    SubjectSet subject;
    std::string queue;  // may hold wildcards
  };
  struct Rules {
    bool all = true;  // no allow list
    SubjectSet allow;
    SubjectSet deny;
    std::vector<QueueEntry> allow_queue;
    std::vector<QueueEntry> deny_queue;
  };
  static Status fill(const SubjectRules& from, bool queues, Rules& rules);

  Rules publish_;
  Rules subscribe_;
  std::optional<ResponseRules> responses_;
};

/// The replies that one connection may send because of requests it received (allow_responses). Loop
/// thread only. Holds at most kReplyPermitsMax: then expired ones go, then the oldest.
class ReplyPermits {
 public:
  static constexpr std::size_t kReplyPermitsMax = 4096;

  explicit ReplyPermits(ResponseRules rules) : rules_(rules) {}
  /// A request with this reply subject is being delivered to the connection.
  void grant(std::string_view reply, SteadyTime now);
  /// The connection publishes to `subject` and may not otherwise: may it as a reply? Uses one up.
  bool use(std::string_view subject, SteadyTime now);
  std::size_t size() const { return permits_.size(); }

 private:
  struct Permit {
    SteadyTime granted;
    int used = 0;
  };
  void prune(SteadyTime now);

  ResponseRules rules_;
  std::map<std::string, Permit, std::less<>> permits_;
};

}  // namespace feedvault::broker
