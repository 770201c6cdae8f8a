#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

namespace feedvault::broker {

class Connection;
struct SubjectNode;

/// One SUB of one connection, or one subject that the streams' loop listens to. Owned by that
/// connection or loop; the subject index points to it. What it says is fixed when it is made and
/// may be read by any loop that holds the index's read lock; the rest belongs to the owner's loop.
class Subscription {
 public:
  Subscription(Connection* connection,
               std::uint32_t loop,
               std::string_view subject,
               std::string_view queue,
               std::string_view sid);

  ~Subscription() = default;
  Subscription(const Subscription&) = delete;
  Subscription& operator=(const Subscription&) = delete;

  /// Null: the streams'.
  Connection* connection() const { return connection_; }
  /// Index of the loop that the owner lives on.
  std::uint32_t loop() const { return loop_; }
  std::string_view subject() const { return {text_.get(), subject_bytes_}; }
  std::string_view queue() const { return {text_.get() + subject_bytes_, queue_bytes_}; }
  std::string_view sid() const { return {text_.get() + subject_bytes_ + queue_bytes_, sid_bytes_}; }

  /// What it matches is stored: publishers wait when the streams are behind. Set before it is
  /// inserted.
  bool captures = false;

  // The owner's loop only.
  std::int64_t delivered = 0;
  std::int64_t max = 0;           // UNSUB with a maximum; 0: none
  bool closed = false;            // receives nothing more
  bool filters_delivery = false;  // permissions deny some of what it matches

  // The subject index's: where it hangs. Guarded by the index's lock.
  SubjectNode* node = nullptr;
  std::uint32_t position = 0;

 private:
  Connection* connection_;
  std::unique_ptr<char[]> text_;  // subject, queue and sid behind each other: one allocation
  std::uint32_t subject_bytes_;
  std::uint32_t queue_bytes_;
  std::uint32_t sid_bytes_;
  std::uint32_t loop_;
};

}  // namespace feedvault::broker
