#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace feedvault::broker {

/// Gets to know what happened to its file descriptor. Does not own it.
class EventHandler {
 public:
  virtual ~EventHandler() = default;
  virtual void on_events(std::uint32_t events) = 0;  // EPOLLIN, EPOLLOUT, EPOLLERR, EPOLLHUP
};

/// Something that is to happen once at a time. Scheduled with EventLoop::schedule(); cancel it
/// before it dies.
class Timer {
 public:
  virtual ~Timer() = default;
  virtual void on_timer() = 0;
  bool scheduled() const { return scheduled_; }
  SteadyTime when() const { return position_->first; }  // Requires: scheduled()

 private:
  friend class EventLoop;
  std::multimap<SteadyTime, Timer*>::iterator position_;
  bool scheduled_ = false;
};

/// Around the work of each turn, for what is better done once than per event.
class TurnHandler {
 public:
  virtual ~TurnHandler() = default;
  virtual void begin_turn() = 0;
  virtual void end_turn() = 0;
};

/// One thread's epoll: waits, calls the handlers of what is ready, then timers and posted tasks.
/// One turn is: begin_turn, events, tasks, timers, end_turn.
///
/// "Any thread" is said where it holds; all else is for the loop's own thread, or for any before
/// run().
class EventLoop {
 public:
  static Result<std::unique_ptr<EventLoop>> make(const Clock& clock);
  ~EventLoop() = default;
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;

  Status add(int fd, std::uint32_t events, EventHandler& handler);
  void change(int fd, std::uint32_t events, EventHandler& handler);
  void remove(int fd);

  /// Moves the timer there when it is scheduled already.
  void schedule(Timer& timer, SteadyTime when);
  void cancel(Timer& timer);

  /// Runs `task` in a coming turn. Tasks that are still waiting at stop() are run before run()
  /// returns. Any thread.
  void post(std::function<void()> task) EXCLUDES_LOCK(mutex_);
  /// Makes a turn begin after this call. Many calls before it wakes cost one system call. Any
  /// thread.
  void wake();

  /// Until stop().
  void run(TurnHandler& turns);
  void stop();  // any thread
  /// Does the calling thread run a loop? Then it must not wait for one: it could be its own.
  static bool on_loop_thread();

  /// The time when this turn began.
  SteadyTime now() const { return now_; }
  const Clock& clock() const { return clock_; }

 private:
  EventLoop(const Clock& clock, UniqueFd epoll, UniqueFd wake);
  int wait_ms() const;
  void run_tasks() EXCLUDES_LOCK(mutex_);
  void run_timers();

  const Clock& clock_;
  UniqueFd epoll_;
  UniqueFd wake_;
  std::atomic<bool> woken_{false};
  std::atomic<bool> stopping_{false};
  SteadyTime now_;
  std::multimap<SteadyTime, Timer*> timers_;
  Mutex mutex_;
  std::vector<std::function<void()>> tasks_ GUARDED_BY(mutex_);
};

}  // namespace feedvault::broker
