#include "broker/event_loop.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <string>
#include <utility>

#include "base/check.h"
#include "broker/limits.h"

namespace feedvault::broker {
namespace {

thread_local bool runs_a_loop = false;

}  // namespace

bool EventLoop::on_loop_thread() {
  return runs_a_loop;
}

Result<std::unique_ptr<EventLoop>> EventLoop::make(const Clock& clock) {
  UniqueFd epoll(::epoll_create1(EPOLL_CLOEXEC));
  UniqueFd wake(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!epoll.valid() || !wake.valid()) {
    return io_error(std::string("event loop: ") + std::strerror(errno));
  }
  epoll_event event{};
  event.events = EPOLLIN | EPOLLET;  // each write is an event of its own: nothing needs be read
  event.data.ptr = nullptr;          // stands for the wake-up
  if (::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, wake.get(), &event) != 0) {
    return io_error(std::string("event loop: ") + std::strerror(errno));
  }
  return std::unique_ptr<EventLoop>(new EventLoop(clock, std::move(epoll), std::move(wake)));
}

EventLoop::EventLoop(const Clock& clock, UniqueFd epoll, UniqueFd wake)
    : clock_(clock), epoll_(std::move(epoll)), wake_(std::move(wake)), now_(clock.now()) {}

Status EventLoop::add(int fd, std::uint32_t events, EventHandler& handler) {
  epoll_event event{};
  event.events = events;
  event.data.ptr = &handler;
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) {
    return io_error(std::string("epoll: ") + std::strerror(errno));
  }
  return {};
}

void EventLoop::change(int fd, std::uint32_t events, EventHandler& handler) {
  epoll_event event{};
  event.events = events;
  event.data.ptr = &handler;
  CHECK(::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event) == 0);
}

void EventLoop::remove(int fd) {
  CHECK(::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr) == 0);
}

void EventLoop::schedule(Timer& timer, SteadyTime when) {
  cancel(timer);
  timer.position_ = timers_.emplace(when, &timer);
  timer.scheduled_ = true;
}

void EventLoop::cancel(Timer& timer) {
  if (timer.scheduled_) {
    timers_.erase(timer.position_);
    timer.scheduled_ = false;
  }
}

void EventLoop::post(std::function<void()> task) {
  {
    MutexLock lock(mutex_);
    tasks_.push_back(std::move(task));
  }
  wake();
}

void EventLoop::wake() {
  if (!woken_.exchange(true, std::memory_order_acq_rel)) {
    const std::uint64_t one = 1;
    CHECK(::write(wake_.get(), &one, sizeof one) == sizeof one);
  }
}

void EventLoop::stop() {
  stopping_.store(true, std::memory_order_release);
  wake();
}

int EventLoop::wait_ms() const {
  if (timers_.empty()) {
    return -1;
  }
  const auto left = timers_.begin()->first - clock_.now();
  if (left <= left.zero()) {
    return 0;
  }
  // Rounded up, or the loop would spin through the last millisecond.
  const auto ms = std::chrono::ceil<std::chrono::milliseconds>(left).count();
  return static_cast<int>(std::min<std::int64_t>(ms, 60'000));
}

void EventLoop::run(TurnHandler& turns) {
  runs_a_loop = true;
  std::array<epoll_event, kEventsPerTurn> events;
  while (!stopping_.load(std::memory_order_acquire)) {
    const int ready = ::epoll_wait(epoll_.get(), events.data(), kEventsPerTurn, wait_ms());
    now_ = clock_.now();
    // Before anything is looked at: what comes from now on wakes us again. An exchange, because
    // what those who find it set had written before must be seen from here on.
    if (woken_.load(std::memory_order_relaxed)) {
      woken_.exchange(false, std::memory_order_acq_rel);
    }
    turns.begin_turn();
    for (int i = 0; i < ready; ++i) {
      const epoll_event& event = events[static_cast<std::size_t>(i)];
      if (event.data.ptr != nullptr) {
        static_cast<EventHandler*>(event.data.ptr)->on_events(event.events);
      }
    }
    run_tasks();
    run_timers();
    turns.end_turn();
  }
  turns.begin_turn();
  run_tasks();
  turns.end_turn();
  runs_a_loop = false;
}

void EventLoop::run_tasks() {
  std::vector<std::function<void()>> tasks;
  {
    MutexLock lock(mutex_);
    tasks.swap(tasks_);
  }
  for (const auto& task : tasks) {
    task();
  }
}

void EventLoop::run_timers() {
  while (!timers_.empty() && timers_.begin()->first <= now_) {
    Timer& timer = *timers_.begin()->second;
    cancel(timer);
    timer.on_timer();
  }
}

}  // namespace feedvault::broker
