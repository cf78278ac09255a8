DROP INDEX links_filtered;
