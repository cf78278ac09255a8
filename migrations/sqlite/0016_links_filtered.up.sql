-- The pairs that a filter leaves out, page by page, without walking all of a sync.
CREATE INDEX links_filtered ON links (sync, id) WHERE filtered;
