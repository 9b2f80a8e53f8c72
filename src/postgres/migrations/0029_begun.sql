-- Set in the transaction in which a batch of people begins: from then on its request cannot be withdrawn any more.
alter table request add column begun_at timestamptz;
