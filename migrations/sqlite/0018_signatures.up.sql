-- Rightly and wrongly signed webhooks may come by turns: when the last of either came, and since when wrong ones are counted.
ALTER TABLE connection_health ADD COLUMN badly_signed_from INTEGER;
ALTER TABLE connection_health ADD COLUMN rightly_signed_at INTEGER;
