#include "base/result.h"

#include <memory>
#include <string>

#include <gtest/gtest.h>

namespace feedvault {
namespace {

Result<int> half(int n) {
  if (n % 2 != 0) {
    return invalid_argument("odd");
  }
  return n / 2;
}

Result<int> quarter(int n) {
  ASSIGN_OR_RETURN(const int h, half(n));
  ASSIGN_OR_RETURN(const int q, half(h));
  return q;
}

Status check_half(int n, bool& went_on) {
  RETURN_IF_ERROR(half(n).status());
  went_on = true;
  return {};
}

TEST(Status, IsOkUnlessToldOtherwise) {
  EXPECT_TRUE(Status().ok());
  EXPECT_EQ(Status().to_string(), "ok");
  EXPECT_EQ(unavailable("gone").to_string(), "unavailable: gone");
  EXPECT_EQ(unavailable("gone"), Status(StatusCode::kUnavailable, "gone"));
  EXPECT_FALSE(unavailable("gone") == timeout_error("gone"));
}

TEST(Status, ContextGoesBeforeTheText) {
  EXPECT_EQ(unavailable("refused").with_context("connect").message(), "connect: refused");
  EXPECT_EQ(unavailable("refused").with_context("connect").code(), StatusCode::kUnavailable);
  EXPECT_TRUE(Status().with_context("connect").ok());
  EXPECT_EQ(Status().with_context("connect").message(), "");
}

TEST(Status, EveryCodeHasItsOwnName) {
  std::string seen;
  for (int code = 0; code <= static_cast<int>(StatusCode::kInternal); ++code) {
    const auto name = std::string(status_code_name(static_cast<StatusCode>(code)));
    EXPECT_NE(name, "unknown");
    EXPECT_EQ(seen.find("|" + name + "|"), std::string::npos) << name;
    seen += "|" + name + "|";
  }
}

TEST(Result, HoldsAValueOrAnError) {
  EXPECT_EQ(*half(4), 2);
  EXPECT_TRUE(half(4).status().ok());
  EXPECT_FALSE(half(3));
  EXPECT_EQ(half(3).error().message(), "odd");
}

TEST(Result, MacrosPassTheErrorOn) {
  EXPECT_EQ(*quarter(8), 2);
  EXPECT_EQ(quarter(6).error().message(), "odd");
  bool went_on = false;
  EXPECT_EQ(check_half(3, went_on).message(), "odd");
  EXPECT_FALSE(went_on);
  EXPECT_TRUE(check_half(4, went_on).ok());
  EXPECT_TRUE(went_on);
}

TEST(Result, CarriesWhatCannotBeCopied) {
  Result<std::unique_ptr<int>> result(std::make_unique<int>(5));
  const std::unique_ptr<int> taken = std::move(result).value();
  EXPECT_EQ(*taken, 5);
}

TEST(Result, TellsAStatusValueFromAnError) {
  const Result<std::string> text(std::string("text"));
  EXPECT_EQ(text->size(), 4U);
}

TEST(ResultDeathTest, TheWrongSideAborts) {
  EXPECT_DEATH((void)*half(3), "CHECK failed: has_value");
  EXPECT_DEATH((void)half(4).error(), "CHECK failed");
  EXPECT_DEATH((void)Result<int>{Status()}, "CHECK failed") << "an ok Status is no error";
}

}  // namespace
}  // namespace feedvault
