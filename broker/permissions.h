#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "broker/options.h"

namespace feedvault::broker {

/// A set of subject patterns, made once and then only asked. Asking about a literal subject
/// allocates nothing: literal patterns cost one hash look-up, wildcard ones a comparison for each
/// that shares the first token.
class SubjectSet {
 public:
  /// Requires: a valid subject filter ("a.*", "b.>"); others are kInvalidArgument.
  Status add(std::string_view pattern);

  bool empty() const { return literals_.empty() && by_first_token_.empty() && wild_first_.empty(); }
  /// Does a pattern match this literal subject? (One with an empty token, which no subscription
  /// matches, may be taken to match a pattern that ends in `>`.)
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
  template <typename Test>
  bool any_wildcard(std::string_view first_token, Test test) const;

  std::unordered_set<std::string, Hash, std::equal_to<>> literals_;
  std::unordered_map<std::string, std::vector<std::string>, Hash, std::equal_to<>> by_first_token_;
  std::vector<std::string> wild_first_;  // those that begin with a wildcard
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
  /// filters_delivery(). Stricter than nats-server 2.9, which takes "a.>" where "a.*" is allowed.
  bool can_subscribe(std::string_view filter, std::string_view queue) const;
  /// True when some subjects that `filter` matches are denied: ask can_receive() at each delivery
  /// to that subscription. Ask once, at SUB.
  bool filters_delivery(std::string_view filter, std::string_view queue = {}) const;
  bool can_receive(std::string_view subject, std::string_view queue = {}) const;

  /// Null when allow_responses is off; else keep a ReplyPermits for the connection.
  const ResponseRules* responses() const { return responses_ ? &*responses_ : nullptr; }

 private:
  /// "subject queue": an entry about one queue group of some subjects.
  struct QueueEntry {
    SubjectSet subject;
    std::string queue;  // may hold wildcards, as a subject does
  };
  struct List {
    SubjectSet subjects;
    std::vector<QueueEntry> queues;
  };

  std::optional<SubjectSet> publish_allow_;  // none: all
  SubjectSet publish_deny_;
  std::optional<List> subscribe_allow_;  // none: all
  List subscribe_deny_;
  std::optional<ResponseRules> responses_;

  static Status fill(const std::vector<std::string>& from, SubjectSet& set);
  static Status fill(const std::vector<std::string>& from, List& list);
};

/// The replies that one connection may send because of requests it received (allow_responses). Loop
/// thread only. Remembers kReplyPermitsMax of them; one more pushes the oldest out.
class ReplyPermits {
 public:
  static constexpr std::size_t kReplyPermitsMax = 4096;

  explicit ReplyPermits(ResponseRules rules) : rules_(rules) {}
  /// A request with this reply subject is being delivered to the connection.
  void grant(std::string_view reply, SteadyTime now);
  /// The connection publishes to `subject` and may not otherwise: may it as a reply? Uses one up.
  bool use(std::string_view subject, SteadyTime now);
  std::size_t size() const { return order_.size(); }

 private:
  struct Permit {
    std::string reply;
    SteadyTime granted;
    int used = 0;
  };
  bool expired(const Permit& permit, SteadyTime now) const;
  void forget(std::list<Permit>::iterator permit);

  ResponseRules rules_;
  std::list<Permit> order_;                                                     // oldest first
  std::unordered_map<std::string_view, std::list<Permit>::iterator> by_reply_;  // views into order_
};

}  // namespace feedvault::broker
