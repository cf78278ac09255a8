DROP INDEX records_left_alone;
