#pragma once

#include <type_traits>
#include <utility>
#include <variant>

#include "base/check.h"
#include "base/status.h"

namespace feedvault {

/// A value, or the Status that says why there is none. Method names are std::expected's, so that it
/// can take this one's place when both compilers have it. Reading the wrong side aborts.
template <typename T>
class [[nodiscard]] Result {
 public:
  using value_type = T;
  using error_type = Status;

  // Implicit on purpose: `return value;` and `return status;` both read well.
  // NOLINTBEGIN(google-explicit-constructor)
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  Result(Status status) : state_(std::in_place_index<1>, std::move(status)) {
    CHECK(!std::get<1>(state_).ok());
  }
  // NOLINTEND(google-explicit-constructor)

  bool has_value() const { return state_.index() == 0; }
  explicit operator bool() const { return has_value(); }

  T& value() & {
    CHECK(has_value());
    return *std::get_if<0>(&state_);
  }
  const T& value() const& {
    CHECK(has_value());
    return *std::get_if<0>(&state_);
  }
  T&& value() && {
    CHECK(has_value());
    return std::move(*std::get_if<0>(&state_));
  }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

  const Status& error() const {
    CHECK(!has_value());
    return *std::get_if<1>(&state_);
  }

  /// Ok when there is a value, else the error.
  Status status() const { return has_value() ? Status() : error(); }

 private:
  std::variant<T, Status> state_;
};

}  // namespace feedvault

#define FEEDVAULT_CONCAT_INNER(a, b) a##b
#define FEEDVAULT_CONCAT(a, b) FEEDVAULT_CONCAT_INNER(a, b)

// NOLINTBEGIN(bugprone-macro-parentheses): a declaration cannot stand in parentheses.
/// ASSIGN_OR_RETURN(auto x, f()): x is f's value, or the error leaves this function.
#define ASSIGN_OR_RETURN(declaration, expr) \
  ASSIGN_OR_RETURN_INNER(FEEDVAULT_CONCAT(result_, __LINE__), declaration, expr)
#define ASSIGN_OR_RETURN_INNER(name, declaration, expr) \
  auto name = (expr);                                   \
  if (!name.has_value()) {                              \
    return name.error();                                \
  }                                                     \
  declaration = std::move(name).value()
// NOLINTEND(bugprone-macro-parentheses)
