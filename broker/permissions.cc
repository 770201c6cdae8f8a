#include "broker/permissions.h"

#include <algorithm>
#include <utility>

#include "base/subject.h"

namespace feedvault::broker {
namespace {

/// Walks over the tokens of a subject; "a..b" has an empty one.
class Tokens {
 public:
  explicit Tokens(std::string_view subject) : rest_(subject) {}
  bool next(std::string_view& token) {
    if (done_) {
      return false;
    }
    const std::size_t dot = rest_.find('.');
    token = rest_.substr(0, dot);
    done_ = dot == std::string_view::npos;
    rest_.remove_prefix(done_ ? rest_.size() : dot + 1);
    return true;
  }

 private:
  std::string_view rest_;
  bool done_ = false;
};

bool is_wildcard(std::string_view token) {
  return token == "*" || token == ">";
}

std::string_view first_token(std::string_view subject) {
  return subject.substr(0, subject.find('.'));
}

// Is everything that `filter` matches matched by `pattern`? With a literal `filter`: does `pattern`
// match it? A publisher may use "*" or ">" as a literal token: `literal` says to take it so.
bool pattern_covers(std::string_view pattern, std::string_view filter, bool literal) {
  Tokens pattern_tokens(pattern);
  Tokens filter_tokens(filter);
  for (;;) {
    std::string_view p;
    std::string_view f;
    const bool has_p = pattern_tokens.next(p);
    const bool has_f = filter_tokens.next(f);
    if (!has_p || !has_f) {
      return has_p == has_f;
    }
    if (f.empty()) {
      return false;  // matched by nobody
    }
    if (p == ">") {
      return true;
    }
    if (p == "*" ? (!literal && f == ">") : p != f) {
      return false;
    }
  }
}

bool valid_filter(std::string_view pattern) {
  Tokens tokens(pattern);
  std::string_view token;
  bool tail = false;
  while (tokens.next(token)) {
    if (token.empty() || tail || token.find_first_of(" \t\r\n\f") != std::string_view::npos) {
      return false;
    }
    tail = token == ">";
  }
  return true;
}

// A queue entry's name matches literally first, since "*" can be a group's own name.
bool queue_matches(const std::string& entry, std::string_view queue) {
  return entry == queue || pattern_covers(entry, queue, /*literal=*/true);
}

}  // namespace

Status SubjectSet::add(std::string_view pattern) {
  if (!valid_filter(pattern)) {
    return invalid_argument("'" + std::string(pattern) +
                            "' is not a valid subject; tokens are separated by single dots and '>' "
                            "is only allowed as the last one");
  }
  if (!has_wildcard(pattern)) {
    literals_.emplace(pattern);
  } else if (is_wildcard(first_token(pattern))) {
    wild_first_.emplace_back(pattern);
  } else {
    by_first_token_[std::string(first_token(pattern))].emplace_back(pattern);
  }
  return {};
}

template <typename Test>
bool SubjectSet::any_wildcard(std::string_view first, Test test) const {
  if (std::any_of(wild_first_.begin(), wild_first_.end(), test)) {
    return true;
  }
  if (by_first_token_.empty()) {
    return false;
  }
  const auto found = by_first_token_.find(first);
  return found != by_first_token_.end() &&
         std::any_of(found->second.begin(), found->second.end(), test);
}

bool SubjectSet::matches(std::string_view subject) const {
  return literals_.find(subject) != literals_.end() ||
         any_wildcard(first_token(subject), [&](const std::string& pattern) {
           return pattern_covers(pattern, subject, /*literal=*/true);
         });
}

bool SubjectSet::covers(std::string_view filter) const {
  // A literal pattern never equals a filter with a wildcard token, so no test for one is needed.
  return literals_.find(filter) != literals_.end() ||
         any_wildcard(first_token(filter), [&](const std::string& pattern) {
           return pattern_covers(pattern, filter, /*literal=*/false);
         });
}

bool SubjectSet::overlaps(std::string_view filter) const {
  if (!has_wildcard(filter)) {
    return matches(filter);
  }
  const auto overlap = [&](const std::string& pattern) {
    return subjects_overlap(pattern, filter);
  };
  return std::any_of(literals_.begin(), literals_.end(), overlap) ||
         std::any_of(wild_first_.begin(), wild_first_.end(), overlap) ||
         std::any_of(by_first_token_.begin(), by_first_token_.end(), [&](const auto& group) {
           return std::any_of(group.second.begin(), group.second.end(), overlap);
         });
}

Status Permissions::fill(const std::vector<std::string>& from, SubjectSet& set) {
  for (const std::string& subject : from) {
    RETURN_IF_ERROR(set.add(subject));
  }
  return {};
}

Status Permissions::fill(const std::vector<std::string>& from, List& list) {
  constexpr std::string_view kBlanks = " \t";
  for (const std::string& entry : from) {
    const std::size_t blank = entry.find_first_of(kBlanks);
    if (blank == std::string::npos) {
      RETURN_IF_ERROR(list.subjects.add(entry));
      continue;
    }
    const std::size_t queue = entry.find_first_not_of(kBlanks, blank);
    if (queue == std::string::npos || entry.find_first_of(kBlanks, queue) != std::string::npos) {
      return invalid_argument("'" + entry +
                              "' is neither a subject nor a subject and a queue name");
    }
    QueueEntry made;
    made.queue = entry.substr(queue);
    RETURN_IF_ERROR(made.subject.add(std::string_view(entry).substr(0, blank)));
    list.queues.push_back(std::move(made));
  }
  return {};
}

Result<std::shared_ptr<const Permissions>> Permissions::make(const PermissionRules& rules) {
  auto made = std::make_shared<Permissions>();
  if (rules.publish.allow) {
    RETURN_IF_ERROR(fill(*rules.publish.allow, made->publish_allow_.emplace()));
  } else if (rules.responses) {
    made->publish_allow_.emplace();  // nothing but replies
  }
  RETURN_IF_ERROR(fill(rules.publish.deny, made->publish_deny_));
  if (rules.subscribe.allow) {
    RETURN_IF_ERROR(fill(*rules.subscribe.allow, made->subscribe_allow_.emplace()));
  }
  RETURN_IF_ERROR(fill(rules.subscribe.deny, made->subscribe_deny_));
  made->responses_ = rules.responses;
  return std::shared_ptr<const Permissions>(std::move(made));
}

bool Permissions::can_publish(std::string_view subject) const {
  return (!publish_allow_ || publish_allow_->matches(subject)) &&
         (publish_deny_.empty() || !publish_deny_.matches(subject));
}

bool Permissions::can_subscribe(std::string_view filter, std::string_view queue) const {
  if (subscribe_allow_) {
    bool allowed = subscribe_allow_->subjects.covers(filter);
    if (!queue.empty()) {
      // Entries that name queues for this filter say which ones, whatever plain entries allow.
      bool named = false;
      bool matched = false;
      for (const QueueEntry& entry : subscribe_allow_->queues) {
        if (entry.subject.covers(filter)) {
          named = true;
          matched = matched || queue_matches(entry.queue, queue);
        }
      }
      allowed = named ? matched : allowed;
    }
    if (!allowed) {
      return false;
    }
  }
  if (subscribe_deny_.subjects.covers(filter)) {
    return false;
  }
  return queue.empty() ||
         std::none_of(subscribe_deny_.queues.begin(),
                      subscribe_deny_.queues.end(),
                      [&](const QueueEntry& entry) {
                        return queue_matches(entry.queue, queue) && entry.subject.covers(filter);
                      });
}

bool Permissions::filters_delivery(std::string_view filter, std::string_view queue) const {
  return subscribe_deny_.subjects.overlaps(filter) ||
         (!queue.empty() && std::any_of(subscribe_deny_.queues.begin(),
                                        subscribe_deny_.queues.end(),
                                        [&](const QueueEntry& entry) {
                                          return queue_matches(entry.queue, queue) &&
                                                 entry.subject.overlaps(filter);
                                        }));
}

bool Permissions::can_receive(std::string_view subject, std::string_view queue) const {
  return !subscribe_deny_.subjects.matches(subject) &&
         (queue.empty() || std::none_of(subscribe_deny_.queues.begin(),
                                        subscribe_deny_.queues.end(),
                                        [&](const QueueEntry& entry) {
                                          return queue_matches(entry.queue, queue) &&
                                                 entry.subject.matches(subject);
                                        }));
}

bool ReplyPermits::expired(const Permit& permit, SteadyTime now) const {
  return rules_.expires.count() > 0 && now - permit.granted > rules_.expires;
}

void ReplyPermits::forget(std::list<Permit>::iterator permit) {
  by_reply_.erase(permit->reply);
  order_.erase(permit);
}

void ReplyPermits::grant(std::string_view reply, SteadyTime now) {
  const auto found = by_reply_.find(reply);
  if (found != by_reply_.end()) {
    found->second->granted = now;
    found->second->used = 0;
    order_.splice(order_.end(), order_, found->second);
    return;
  }
  // Two old ones may go for one new one: so expired permits vanish faster than new ones come.
  for (int i = 0; i < 2 && !order_.empty() && expired(order_.front(), now); ++i) {
    forget(order_.begin());
  }
  if (order_.size() >= kReplyPermitsMax) {
    forget(order_.begin());
  }
  order_.push_back({std::string(reply), now, 0});
  by_reply_.emplace(order_.back().reply, std::prev(order_.end()));
}

bool ReplyPermits::use(std::string_view subject, SteadyTime now) {
  const auto found = by_reply_.find(subject);
  if (found == by_reply_.end()) {
    return false;
  }
  const auto permit = found->second;
  if (expired(*permit, now)) {
    forget(permit);
    return false;
  }
  ++permit->used;
  if (rules_.max > 0 && permit->used >= rules_.max) {
    forget(permit);
  }
  return true;
}

}  // namespace feedvault::broker
