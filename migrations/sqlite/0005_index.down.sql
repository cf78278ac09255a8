DROP TABLE key_forms;
DROP TABLE listing_places;
DROP TABLE surveyed;
