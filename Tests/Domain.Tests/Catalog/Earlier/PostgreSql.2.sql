START TRANSACTION;
ALTER TABLE site ADD catalog_id character varying(256) COLLATE "C";

ALTER TABLE remote_instances ADD unconfirmed_since timestamp with time zone;

ALTER TABLE librarians ADD catalog_id character varying(256) COLLATE "C";

ALTER TABLE librarians ADD catalog_seen character varying(512) COLLATE "C";

ALTER TABLE instances ADD fingerprint character varying(256) COLLATE "C";

ALTER TABLE instances ADD verified_time timestamp with time zone;

ALTER TABLE incoming_transfers ADD tree_digest character varying(256) COLLATE "C";

ALTER TABLE incoming_transfers ADD flush_begun boolean NOT NULL DEFAULT FALSE;

ALTER TABLE files ADD tree_digest character varying(256) COLLATE "C";

CREATE TABLE catalog_incarnations (
    id character varying(256) COLLATE "C" NOT NULL,
    started_time timestamp with time zone NOT NULL,
    counter bigint NOT NULL,
    CONSTRAINT "PK_catalog_incarnations" PRIMARY KEY (id)
);

CREATE INDEX ix_remote_instances_unconfirmed ON remote_instances (librarian_id, unconfirmed_since) WHERE unconfirmed_since is not null;

CREATE INDEX "IX_catalog_incarnations_started_time" ON catalog_incarnations (started_time);

UPDATE instances SET path = ltrim(substr(path, length(r.root) + 2), '/') FROM (SELECT s.id, rtrim(COALESCE((SELECT rtrim(d.mount_path, '/') || '/data' FROM drives d WHERE d.store_id = s.id),
  s.store_data::jsonb ->> 'store_path'), '/') AS root
FROM store_metadata s) AS r
WHERE r.id = instances.store_id AND substr(path, 1, length(r.root) + 1) = r.root || '/' AND ltrim(substr(path, length(r.root) + 2), '/') <> '';

INSERT INTO "__EFMigrationsHistory" ("MigrationId", "ProductVersion")
VALUES ('20261129190722_CopyEvidence', '10.0.15');

COMMIT;

