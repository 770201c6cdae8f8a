#include "storage/mysql_errors.h"

#include <gtest/gtest.h>

namespace feedvault::storage {
namespace {

TEST(MysqlErrors, WhatOneRowCausesIsData) {
  for (const unsigned number :
       {1048U, 1153U, 1264U, 1292U, 1366U, 1406U, 3140U, 3141U, 3157U, 3819U, 4025U}) {
    EXPECT_EQ(classify_mysql_error(number), ErrorClass::kData) << number;
  }
}

TEST(MysqlErrors, WhatTimeMayHealIsInfrastructure) {
  for (const unsigned number :
       {1021U, 1040U, 1053U, 1114U, 1205U, 1213U, 1290U, 1317U, 1836U, 3024U}) {
    EXPECT_EQ(classify_mysql_error(number), ErrorClass::kInfrastructure) << number;
    EXPECT_EQ((SqlError{number, "x"}).to_status("doing").code(), StatusCode::kUnavailable);
  }
}

TEST(MysqlErrors, ALostConnectionIsUnavailable) {
  for (const unsigned number : {2002U, 2003U, 2005U, 2006U, 2013U, 2055U}) {
    EXPECT_EQ(classify_mysql_error(number), ErrorClass::kConnectionLost) << number;
    EXPECT_EQ((SqlError{number, "x"}).to_status("doing").code(), StatusCode::kUnavailable);
  }
}

TEST(MysqlErrors, UnknownNumbersQuarantineNothing) {
  for (const unsigned number : {1U, 999U, 1999U, 5000U, 65535U}) {
    EXPECT_EQ(classify_mysql_error(number), ErrorClass::kInfrastructure) << number;
  }
}

TEST(MysqlErrors, ConfigurationNamesARemedyAndTheServersText) {
  for (const unsigned number : {1044U, 1045U, 1049U, 1142U, 1146U, 1698U, 3118U, 4151U}) {
    const Status status = SqlError{number, "what the server says"}.to_status("opening");
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument) << number;
    EXPECT_EQ(status.message().find("opening: MySQL error " + std::to_string(number) +
                                    ": what the server says; "),
              0U)
        << status.message();
  }
}

TEST(MysqlErrors, ADuplicateKeyIsItsOwnClass) {
  EXPECT_EQ(classify_mysql_error(1062), ErrorClass::kDuplicateKey);
  EXPECT_EQ((SqlError{1062, "x"}).to_status("doing").code(), StatusCode::kDuplicate);
}

TEST(MysqlErrors, NoErrorIsOk) {
  EXPECT_TRUE(SqlError{}.ok());
  EXPECT_TRUE(SqlError{}.to_status("doing").ok());
}

}  // namespace
}  // namespace feedvault::storage
