#include "broker/inbox.h"

namespace feedvault::broker {

void hand_over_outboxes(Router& router, const std::vector<Inbox*>& inboxes, Inbox& own) {
  if (router.outbox_bytes() == 0) {
    return;
  }
  std::vector<std::unique_lock<std::mutex>> locks;
  locks.reserve(inboxes.size());
  // All at once, in order of the loops: what one of them does because of a message must not
  // overtake another message of the same turn (router.h, "three loops").
  for (std::size_t i = 0; i < inboxes.size(); ++i) {
    if (!router.outbox(i).empty()) {
      locks.emplace_back(inboxes[i]->mutex_);
    }
  }
  for (std::size_t i = 0; i < inboxes.size(); ++i) {
    if (!router.outbox(i).empty()) {
      inboxes[i]->put(std::exchange(router.outbox(i), {}));
    }
  }
  locks.clear();
  router.outboxes_handed_over();
  for (Inbox* const inbox : inboxes) {
    if (inbox != &own && inbox->filled()) {
      inbox->owner_.wake();
    }
  }
}

}  // namespace feedvault::broker
