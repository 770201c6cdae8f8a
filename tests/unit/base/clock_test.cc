#include "base/clock.h"

#include <ctime>
#include <limits>
#include <random>
#include <string>

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace feedvault {
namespace {

constexpr std::int64_t kSecond = 1'000'000'000;
constexpr std::int64_t kHour = 3600 * kSecond;

std::int64_t parsed(const std::string& text) {
  const auto result = parse_rfc3339_ns(text);
  EXPECT_TRUE(result.has_value()) << text << ": " << result.status().message();
  return result.has_value() ? *result : std::numeric_limits<std::int64_t>::min();
}

TEST(Rfc3339, PrintsMicroseconds) {
  EXPECT_EQ(format_rfc3339_us(0), "1970-01-01T00:00:00.000000Z");
  EXPECT_EQ(format_rfc3339_us(1'795'294'134'543'721), "2026-11-21T20:48:54.543721Z");
}

TEST(Rfc3339, PrintsTimesBefore1970) {
  EXPECT_EQ(format_rfc3339_us(-1), "1969-12-31T23:59:59.999999Z");
  EXPECT_EQ(format_rfc3339_us(-86'400'000'000), "1969-12-31T00:00:00.000000Z");
  EXPECT_EQ(format_rfc3339_us(-86'400'000'001), "1969-12-30T23:59:59.999999Z");
}

TEST(Rfc3339, PrintsTheEndsOfItsRange) {
  EXPECT_EQ(format_rfc3339_us(253'402'300'799'999'999), "9999-12-31T23:59:59.999999Z");
  EXPECT_EQ(format_rfc3339_us(-62'167'219'200'000'000), "0000-01-01T00:00:00.000000Z");
}

TEST(Rfc3339, KnowsLeapYears) {
  EXPECT_EQ(format_rfc3339_us(parsed("2024-02-29T12:00:00Z") / 1000),
            "2024-02-29T12:00:00.000000Z");
  EXPECT_EQ(parsed("2000-02-29") + 24 * kHour, parsed("2000-03-01"));
  EXPECT_FALSE(parse_rfc3339_ns("1900-02-29").has_value());
  EXPECT_FALSE(parse_rfc3339_ns("2023-02-29").has_value());
  EXPECT_FALSE(parse_rfc3339_ns("2026-04-31").has_value());
}

TEST(Rfc3339, ReadsEveryNumberOfDecimals) {
  EXPECT_EQ(parsed("1970-01-01T00:00:01Z"), kSecond);
  EXPECT_EQ(parsed("1970-01-01T00:00:00.5Z"), 500'000'000);
  EXPECT_EQ(parsed("1970-01-01T00:00:00.123456789Z"), 123'456'789);
  EXPECT_EQ(parsed("1970-01-01T00:00:00.1234567891Z"), 123'456'789) << "more are cut";
  EXPECT_EQ(parsed("1969-12-31T23:59:59.5Z"), -500'000'000);
}

TEST(Rfc3339, ReadsOffsetsAndShortForms) {
  const std::int64_t noon = parsed("2026-11-21T12:00:00Z");
  EXPECT_EQ(parsed("2026-11-21T13:00:00+01:00"), noon);
  EXPECT_EQ(parsed("2026-11-21T06:30:00-05:30"), noon);
  EXPECT_EQ(parsed("2026-11-21t12:00:00z"), noon);
  EXPECT_EQ(parsed("2026-11-21 12:00:00"), noon);
  EXPECT_EQ(parsed("2026-11-21"), noon - 12 * kHour);
  EXPECT_EQ(parsed("2016-12-31T23:59:60Z"), parsed("2017-01-01T00:00:00Z")) << "a leap second";
}

TEST(Rfc3339, RefusesWhatIsNoTime) {
  for (const char* text : {"",
                           "now",
                           "2026",
                           "2026-11",
                           "2026-1-21",
                           "2026-11-21T",
                           "2026-11-21T12",
                           "2026-11-21T12:00",
                           "2026-11-21T12:00:00.Z",
                           "2026-11-21T12:00:00Zx",
                           "2026-11-21T24:00:00Z",
                           "2026-11-21T12:60:00Z",
                           "2026-11-21T12:00:61Z",
                           "2026-13-01",
                           "2026-00-01",
                           "2026-01-00",
                           "2026-11-21T12:00:00+1:00",
                           "2026-11-21T12:00:00+24:00",
                           "2026-11-21T12:00:00+01:60",
                           "-026-11-21",
                           " 2026-11-21",
                           "2026-11-21T12:00:00+",
                           "1677-12-31",
                           "2262-01-01"}) {
    EXPECT_EQ(parse_rfc3339_ns(text).status().code(), StatusCode::kInvalidArgument) << text;
  }
}

TEST(Rfc3339, RoundTripsAndAgreesWithTheLibrary) {
  std::mt19937_64 random(42);
  std::uniform_int_distribution<std::int64_t> any(parsed("1678-01-01T00:00:00Z") / 1000,
                                                  parsed("2261-12-31T23:59:59Z") / 1000);
  for (int i = 0; i < 20'000; ++i) {
    const std::int64_t us = any(random);
    const std::string text = format_rfc3339_us(us);
    ASSERT_EQ(parsed(text), us * 1000) << text;

    const std::int64_t rest = (us % 1'000'000 + 1'000'000) % 1'000'000;
    const std::time_t seconds = (us - rest) / 1'000'000;
    std::tm parts{};
    ASSERT_NE(::gmtime_r(&seconds, &parts), nullptr);
    char expected[64];
    ASSERT_GT(std::strftime(expected, sizeof expected, "%Y-%m-%dT%H:%M:%S", &parts), 0U);
    ASSERT_EQ(text, fmt::format("{}.{:06}Z", expected, rest));
  }
}

TEST(SystemClock, IsUnixTime) {
  const std::int64_t before = std::time(nullptr);
  const std::int64_t now = Clock::system().unix_ns() / kSecond;
  EXPECT_GE(now, before);
  EXPECT_LE(now, before + 60);
}

}  // namespace
}  // namespace feedvault
