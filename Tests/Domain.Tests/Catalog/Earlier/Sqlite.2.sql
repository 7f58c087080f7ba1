BEGIN TRANSACTION;
ALTER TABLE "site" ADD "catalog_id" TEXT NULL;

ALTER TABLE "remote_instances" ADD "unconfirmed_since" TEXT NULL;

ALTER TABLE "librarians" ADD "catalog_id" TEXT NULL;

ALTER TABLE "librarians" ADD "catalog_seen" TEXT NULL;

ALTER TABLE "instances" ADD "fingerprint" TEXT NULL;

ALTER TABLE "instances" ADD "verified_time" TEXT NULL;

ALTER TABLE "incoming_transfers" ADD "tree_digest" TEXT NULL;

ALTER TABLE "incoming_transfers" ADD "flush_begun" INTEGER NOT NULL DEFAULT 0;

ALTER TABLE "files" ADD "tree_digest" TEXT NULL;

CREATE TABLE "catalog_incarnations" (
    "id" TEXT NOT NULL CONSTRAINT "PK_catalog_incarnations" PRIMARY KEY,
    "started_time" TEXT NOT NULL,
    "counter" INTEGER NOT NULL
);

CREATE INDEX "ix_remote_instances_unconfirmed" ON "remote_instances" ("librarian_id", "unconfirmed_since") WHERE unconfirmed_since is not null;

CREATE INDEX "IX_catalog_incarnations_started_time" ON "catalog_incarnations" ("started_time");

UPDATE instances SET path = ltrim(substr(path, length(r.root) + 2), '/') FROM (SELECT s.id, rtrim(COALESCE((SELECT rtrim(d.mount_path, '/') || '/data' FROM drives d WHERE d.store_id = s.id),
  CASE WHEN json_valid(s.store_data) THEN json_extract(s.store_data, '$.store_path') END), '/') AS root
FROM store_metadata s) AS r
WHERE r.id = instances.store_id AND substr(path, 1, length(r.root) + 1) = r.root || '/' AND ltrim(substr(path, length(r.root) + 2), '/') <> '';

INSERT INTO "__EFMigrationsHistory" ("MigrationId", "ProductVersion")
VALUES ('20261129190703_CopyEvidence', '10.0.15');

COMMIT;

