CREATE TABLE IF NOT EXISTS "__EFMigrationsHistory" (
    "MigrationId" TEXT NOT NULL CONSTRAINT "PK___EFMigrationsHistory" PRIMARY KEY,
    "ProductVersion" TEXT NOT NULL
);

BEGIN TRANSACTION;
CREATE TABLE "corrupt_files" (
    "id" INTEGER NOT NULL CONSTRAINT "PK_corrupt_files" PRIMARY KEY AUTOINCREMENT,
    "file_name" TEXT NOT NULL,
    "file_source" TEXT NOT NULL,
    "instance_id" INTEGER NOT NULL,
    "instance_path" TEXT NOT NULL,
    "corrupt_time" TEXT NOT NULL,
    "size" INTEGER NOT NULL,
    "checksum" TEXT NOT NULL,
    "count" INTEGER NOT NULL,
    "replacement_requested" INTEGER NOT NULL,
    "incoming_transfer_id" INTEGER NULL
);

CREATE TABLE "errors" (
    "id" INTEGER NOT NULL CONSTRAINT "PK_errors" PRIMARY KEY AUTOINCREMENT,
    "severity" TEXT NOT NULL,
    "category" TEXT NOT NULL,
    "message" TEXT NOT NULL,
    "raised_time" TEXT NOT NULL,
    "cleared_time" TEXT NULL,
    "cleared" INTEGER NOT NULL,
    "caller" TEXT NULL
);

CREATE TABLE "files" (
    "name" TEXT NOT NULL CONSTRAINT "PK_files" PRIMARY KEY,
    "create_time" TEXT NOT NULL,
    "size" INTEGER NOT NULL,
    "checksum" TEXT NOT NULL,
    "uploader" TEXT NOT NULL,
    "source" TEXT NOT NULL
);

CREATE TABLE "librarians" (
    "id" INTEGER NOT NULL CONSTRAINT "PK_librarians" PRIMARY KEY AUTOINCREMENT,
    "name" TEXT NOT NULL,
    "url" TEXT NOT NULL,
    "port" INTEGER NOT NULL,
    "authenticator" TEXT NOT NULL,
    "transfers_enabled" INTEGER NOT NULL,
    "last_seen" TEXT NOT NULL,
    "last_heard" TEXT NOT NULL
);

CREATE TABLE "send_queue" (
    "id" INTEGER NOT NULL CONSTRAINT "PK_send_queue" PRIMARY KEY AUTOINCREMENT,
    "priority" INTEGER NOT NULL,
    "created_time" TEXT NOT NULL,
    "retries" INTEGER NOT NULL,
    "destination" TEXT NOT NULL,
    "consumed" INTEGER NOT NULL,
    "consumed_time" TEXT NULL,
    "completed" INTEGER NOT NULL,
    "completed_time" TEXT NULL,
    "failed" INTEGER NOT NULL,
    "orchestration_id" TEXT NULL
);

CREATE TABLE "site" (
    "name" TEXT NOT NULL CONSTRAINT "PK_site" PRIMARY KEY
);

CREATE TABLE "store_metadata" (
    "id" INTEGER NOT NULL CONSTRAINT "PK_store_metadata" PRIMARY KEY AUTOINCREMENT,
    "name" TEXT NOT NULL,
    "ingestable" INTEGER NOT NULL,
    "enabled" INTEGER NOT NULL,
    "store_type" INTEGER NOT NULL,
    "store_data" TEXT NOT NULL
);

CREATE TABLE "timer_status" (
    "name" TEXT NOT NULL CONSTRAINT "PK_timer_status" PRIMARY KEY,
    "schedule" TEXT NOT NULL,
    "last_run" TEXT NULL,
    "next_run" TEXT NOT NULL,
    "last_updated" TEXT NOT NULL,
    "lease_owner" TEXT NULL,
    "lease_until" TEXT NULL,
    "version" INTEGER NOT NULL
);

CREATE TABLE "users" (
    "username" TEXT NOT NULL CONSTRAINT "PK_users" PRIMARY KEY,
    "auth_token" TEXT NOT NULL,
    "auth_level" TEXT NOT NULL
);

CREATE TABLE "remote_instances" (
    "id" INTEGER NOT NULL CONSTRAINT "PK_remote_instances" PRIMARY KEY AUTOINCREMENT,
    "file_name" TEXT NOT NULL,
    "store_id" INTEGER NOT NULL,
    "librarian_id" INTEGER NOT NULL,
    "copy_time" TEXT NOT NULL,
    "sender" TEXT NOT NULL,
    CONSTRAINT "FK_remote_instances_files_file_name" FOREIGN KEY ("file_name") REFERENCES "files" ("name") ON DELETE RESTRICT,
    CONSTRAINT "FK_remote_instances_librarians_librarian_id" FOREIGN KEY ("librarian_id") REFERENCES "librarians" ("id") ON DELETE RESTRICT
);

CREATE TABLE "completed_transfers" (
    "id" INTEGER NOT NULL CONSTRAINT "PK_completed_transfers" PRIMARY KEY,
    "task_id" TEXT NOT NULL,
    "source_endpoint_id" TEXT NOT NULL,
    "destination_endpoint_id" TEXT NOT NULL,
    "start_time" TEXT NOT NULL,
    "end_time" TEXT NOT NULL,
    "duration_seconds" REAL NOT NULL,
    "bytes_transferred" INTEGER NOT NULL,
    "effective_bandwidth_bps" REAL NOT NULL,
    CONSTRAINT "FK_completed_transfers_send_queue_id" FOREIGN KEY ("id") REFERENCES "send_queue" ("id") ON DELETE CASCADE
);

CREATE TABLE "incoming_transfers" (
    "id" INTEGER NOT NULL CONSTRAINT "PK_incoming_transfers" PRIMARY KEY AUTOINCREMENT,
    "status" TEXT NOT NULL,
    "uploader" TEXT NOT NULL,
    "upload_name" TEXT NOT NULL,
    "source" TEXT NOT NULL,
    "transfer_size" INTEGER NOT NULL,
    "transfer_checksum" TEXT NOT NULL,
    "store_id" INTEGER NULL,
    "transfer_manager_name" TEXT NULL,
    "start_time" TEXT NOT NULL,
    "end_time" TEXT NULL,
    "staging_path" TEXT NULL,
    "store_path" TEXT NULL,
    "source_transfer_id" INTEGER NULL,
    "placing" INTEGER NOT NULL,
    "failure_reason" TEXT NULL,
    CONSTRAINT "FK_incoming_transfers_store_metadata_store_id" FOREIGN KEY ("store_id") REFERENCES "store_metadata" ("id") ON DELETE RESTRICT
);

CREATE TABLE "instances" (
    "id" INTEGER NOT NULL CONSTRAINT "PK_instances" PRIMARY KEY AUTOINCREMENT,
    "path" TEXT NOT NULL,
    "file_name" TEXT NOT NULL,
    "store_id" INTEGER NOT NULL,
    "deletion_policy" TEXT NOT NULL,
    "created_time" TEXT NOT NULL,
    "available" INTEGER NOT NULL,
    "calculated_checksum" TEXT NULL,
    "calculated_size" INTEGER NULL,
    "checksum_time" TEXT NULL,
    CONSTRAINT "FK_instances_files_file_name" FOREIGN KEY ("file_name") REFERENCES "files" ("name") ON DELETE RESTRICT,
    CONSTRAINT "FK_instances_store_metadata_store_id" FOREIGN KEY ("store_id") REFERENCES "store_metadata" ("id") ON DELETE RESTRICT
);

CREATE TABLE "clone_transfers" (
    "id" INTEGER NOT NULL CONSTRAINT "PK_clone_transfers" PRIMARY KEY AUTOINCREMENT,
    "status" TEXT NOT NULL,
    "start_time" TEXT NOT NULL,
    "end_time" TEXT NULL,
    "source_store_id" INTEGER NOT NULL,
    "destination_store_id" INTEGER NOT NULL,
    "transfer_manager_name" TEXT NULL,
    "source_instance_id" INTEGER NULL,
    "destination_instance_id" INTEGER NULL,
    CONSTRAINT "FK_clone_transfers_instances_destination_instance_id" FOREIGN KEY ("destination_instance_id") REFERENCES "instances" ("id") ON DELETE SET NULL,
    CONSTRAINT "FK_clone_transfers_instances_source_instance_id" FOREIGN KEY ("source_instance_id") REFERENCES "instances" ("id") ON DELETE SET NULL,
    CONSTRAINT "FK_clone_transfers_store_metadata_destination_store_id" FOREIGN KEY ("destination_store_id") REFERENCES "store_metadata" ("id") ON DELETE RESTRICT,
    CONSTRAINT "FK_clone_transfers_store_metadata_source_store_id" FOREIGN KEY ("source_store_id") REFERENCES "store_metadata" ("id") ON DELETE RESTRICT
);

CREATE TABLE "outgoing_transfers" (
    "id" INTEGER NOT NULL CONSTRAINT "PK_outgoing_transfers" PRIMARY KEY AUTOINCREMENT,
    "status" TEXT NOT NULL,
    "destination" TEXT NOT NULL,
    "transfer_size" INTEGER NOT NULL,
    "transfer_checksum" TEXT NOT NULL,
    "start_time" TEXT NOT NULL,
    "end_time" TEXT NULL,
    "file_name" TEXT NOT NULL,
    "instance_id" INTEGER NULL,
    "remote_transfer_id" INTEGER NULL,
    "transfer_manager_name" TEXT NULL,
    "send_queue_id" INTEGER NULL,
    "source_path" TEXT NULL,
    "dest_path" TEXT NULL,
    "failure_reason" TEXT NULL,
    "retry_after" TEXT NULL,
    CONSTRAINT "FK_outgoing_transfers_files_file_name" FOREIGN KEY ("file_name") REFERENCES "files" ("name") ON DELETE CASCADE,
    CONSTRAINT "FK_outgoing_transfers_instances_instance_id" FOREIGN KEY ("instance_id") REFERENCES "instances" ("id") ON DELETE SET NULL,
    CONSTRAINT "FK_outgoing_transfers_send_queue_send_queue_id" FOREIGN KEY ("send_queue_id") REFERENCES "send_queue" ("id") ON DELETE SET NULL
);

CREATE INDEX "IX_clone_transfers_destination_instance_id" ON "clone_transfers" ("destination_instance_id");

CREATE INDEX "IX_clone_transfers_destination_store_id" ON "clone_transfers" ("destination_store_id");

CREATE INDEX "IX_clone_transfers_source_instance_id" ON "clone_transfers" ("source_instance_id");

CREATE INDEX "IX_clone_transfers_source_store_id" ON "clone_transfers" ("source_store_id");

CREATE UNIQUE INDEX "IX_completed_transfers_task_id" ON "completed_transfers" ("task_id");

CREATE INDEX "IX_corrupt_files_file_name" ON "corrupt_files" ("file_name");

CREATE INDEX "IX_corrupt_files_instance_id" ON "corrupt_files" ("instance_id");

CREATE INDEX "IX_errors_cleared_raised_time" ON "errors" ("cleared", "raised_time");

CREATE INDEX "IX_files_create_time_name" ON "files" ("create_time", "name");

CREATE INDEX "IX_files_source" ON "files" ("source");

CREATE INDEX "IX_files_uploader" ON "files" ("uploader");

CREATE INDEX "IX_incoming_transfers_staging_path" ON "incoming_transfers" ("staging_path");

CREATE INDEX "IX_incoming_transfers_status_start_time" ON "incoming_transfers" ("status", "start_time");

CREATE INDEX "IX_incoming_transfers_store_id" ON "incoming_transfers" ("store_id");

CREATE INDEX "IX_incoming_transfers_store_path_status" ON "incoming_transfers" ("store_path", "status");

CREATE UNIQUE INDEX "ux_incoming_transfers_placing" ON "incoming_transfers" ("store_path") WHERE "placing";

CREATE UNIQUE INDEX "IX_instances_file_name_store_id" ON "instances" ("file_name", "store_id");

CREATE INDEX "IX_instances_store_id_created_time" ON "instances" ("store_id", "created_time");

CREATE UNIQUE INDEX "IX_librarians_name" ON "librarians" ("name");

CREATE INDEX "IX_outgoing_transfers_destination_status_start_time" ON "outgoing_transfers" ("destination", "status", "start_time");

CREATE INDEX "IX_outgoing_transfers_file_name_destination_status" ON "outgoing_transfers" ("file_name", "destination", "status");

CREATE INDEX "IX_outgoing_transfers_instance_id" ON "outgoing_transfers" ("instance_id");

CREATE INDEX "IX_outgoing_transfers_send_queue_id_status" ON "outgoing_transfers" ("send_queue_id", "status");

CREATE UNIQUE INDEX "ux_outgoing_transfers_in_flight" ON "outgoing_transfers" ("file_name", "destination") WHERE status in ('INITIATED','ONGOING','STAGED');

CREATE UNIQUE INDEX "IX_remote_instances_file_name_librarian_id_store_id" ON "remote_instances" ("file_name", "librarian_id", "store_id");

CREATE INDEX "IX_remote_instances_librarian_id" ON "remote_instances" ("librarian_id");

CREATE INDEX "IX_send_queue_destination_completed" ON "send_queue" ("destination", "completed");

CREATE UNIQUE INDEX "IX_store_metadata_name" ON "store_metadata" ("name");

INSERT INTO "__EFMigrationsHistory" ("MigrationId", "ProductVersion")
VALUES ('20261123024056_Initial', '10.0.15');

COMMIT;

BEGIN TRANSACTION;
ALTER TABLE "librarians" ADD "full_since" TEXT NULL;

ALTER TABLE "incoming_transfers" ADD "callback_tries" INTEGER NULL;

CREATE INDEX "ix_incoming_transfers_callback" ON "incoming_transfers" ("source", "callback_tries", "id") WHERE callback_tries is not null;

INSERT INTO "__EFMigrationsHistory" ("MigrationId", "ProductVersion")
VALUES ('20261124230730_PeerCallbacks', '10.0.15');

COMMIT;

BEGIN TRANSACTION;
CREATE TABLE "drive_arrivals" (
    "id" INTEGER NOT NULL CONSTRAINT "PK_drive_arrivals" PRIMARY KEY AUTOINCREMENT,
    "drive_id" TEXT NOT NULL,
    "trip" INTEGER NOT NULL,
    "name" TEXT NOT NULL,
    "source" TEXT NOT NULL,
    "mount_path" TEXT NOT NULL,
    "data_path" TEXT NOT NULL,
    "is_upstream" INTEGER NOT NULL,
    "manifest_sha256" TEXT NOT NULL,
    "state" TEXT NOT NULL,
    "state_since" TEXT NOT NULL,
    "files" INTEGER NOT NULL,
    "bytes" INTEGER NOT NULL,
    "position" INTEGER NOT NULL,
    "files_done" INTEGER NOT NULL,
    "bytes_done" INTEGER NOT NULL,
    "problem" TEXT NULL
);

CREATE TABLE "drives" (
    "id" INTEGER NOT NULL CONSTRAINT "PK_drives" PRIMARY KEY AUTOINCREMENT,
    "drive_id" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "store_id" INTEGER NOT NULL,
    "mount_path" TEXT NOT NULL,
    "destination" TEXT NOT NULL,
    "full_fraction" REAL NOT NULL,
    "state" TEXT NOT NULL,
    "state_since" TEXT NOT NULL,
    "trip" INTEGER NOT NULL,
    "manifest_time" TEXT NULL,
    "manifest_sha256" TEXT NULL,
    "manifest_on_drive" INTEGER NOT NULL,
    "problem" TEXT NULL,
    CONSTRAINT "FK_drives_store_metadata_store_id" FOREIGN KEY ("store_id") REFERENCES "store_metadata" ("id") ON DELETE RESTRICT
);

CREATE TABLE "site_keys" (
    "site" TEXT NOT NULL CONSTRAINT "PK_site_keys" PRIMARY KEY,
    "public_key" TEXT NOT NULL,
    "pinned_time" TEXT NOT NULL,
    "how" TEXT NOT NULL
);

CREATE TABLE "drive_arrival_files" (
    "id" INTEGER NOT NULL CONSTRAINT "PK_drive_arrival_files" PRIMARY KEY AUTOINCREMENT,
    "arrival_id" INTEGER NOT NULL,
    "file_name" TEXT NOT NULL,
    "checksum" TEXT NOT NULL,
    "outgoing_transfer_id" INTEGER NOT NULL,
    "outcome" TEXT NOT NULL,
    "store_id" INTEGER NULL,
    "message" TEXT NULL,
    "told" INTEGER NOT NULL,
    "refusal" TEXT NULL,
    CONSTRAINT "FK_drive_arrival_files_drive_arrivals_arrival_id" FOREIGN KEY ("arrival_id") REFERENCES "drive_arrivals" ("id") ON DELETE CASCADE
);

CREATE TABLE "drive_contents" (
    "id" INTEGER NOT NULL CONSTRAINT "PK_drive_contents" PRIMARY KEY AUTOINCREMENT,
    "drive_row" INTEGER NOT NULL,
    "file_name" TEXT NOT NULL,
    "destination" TEXT NOT NULL,
    "state" TEXT NOT NULL,
    "addition_id" TEXT NOT NULL,
    "size" INTEGER NOT NULL,
    "sha256" TEXT NULL,
    "members" INTEGER NOT NULL,
    "outgoing_transfer_id" INTEGER NULL,
    "retry_after" TEXT NULL,
    "failures" INTEGER NOT NULL,
    CONSTRAINT "FK_drive_contents_drives_drive_row" FOREIGN KEY ("drive_row") REFERENCES "drives" ("id") ON DELETE RESTRICT
);

CREATE TABLE "drive_members" (
    "content_id" INTEGER NOT NULL,
    "path" TEXT NOT NULL,
    "size" INTEGER NOT NULL,
    "sha256" TEXT NOT NULL,
    CONSTRAINT "PK_drive_members" PRIMARY KEY ("content_id", "path"),
    CONSTRAINT "FK_drive_members_drive_contents_content_id" FOREIGN KEY ("content_id") REFERENCES "drive_contents" ("id") ON DELETE CASCADE
);

CREATE UNIQUE INDEX "IX_drive_arrival_files_arrival_id_file_name" ON "drive_arrival_files" ("arrival_id", "file_name");

CREATE INDEX "IX_drive_arrival_files_arrival_id_outcome_id" ON "drive_arrival_files" ("arrival_id", "outcome", "id");

CREATE INDEX "IX_drive_arrival_files_arrival_id_told_id" ON "drive_arrival_files" ("arrival_id", "told", "id");

CREATE UNIQUE INDEX "IX_drive_arrivals_drive_id_trip" ON "drive_arrivals" ("drive_id", "trip");

CREATE INDEX "IX_drive_contents_drive_row_state_id" ON "drive_contents" ("drive_row", "state", "id");

CREATE INDEX "IX_drive_contents_file_name_destination_state" ON "drive_contents" ("file_name", "destination", "state");

CREATE INDEX "IX_drive_contents_outgoing_transfer_id" ON "drive_contents" ("outgoing_transfer_id");

CREATE UNIQUE INDEX "ux_drive_contents_one_drive" ON "drive_contents" ("file_name", "destination") WHERE state in ('COPYING','STORED');

CREATE UNIQUE INDEX "IX_drives_drive_id" ON "drives" ("drive_id");

CREATE UNIQUE INDEX "IX_drives_name" ON "drives" ("name");

CREATE UNIQUE INDEX "IX_drives_store_id" ON "drives" ("store_id");

INSERT INTO "__EFMigrationsHistory" ("MigrationId", "ProductVersion")
VALUES ('20261124231008_Drives', '10.0.15');

COMMIT;

BEGIN TRANSACTION;
DROP INDEX "IX_incoming_transfers_store_id";

DROP INDEX "IX_files_source";

DROP INDEX "IX_files_uploader";

CREATE INDEX "IX_incoming_transfers_store_id_status_transfer_size" ON "incoming_transfers" ("store_id", "status", "transfer_size");

CREATE INDEX "IX_files_source_create_time_name" ON "files" ("source", "create_time" DESC, "name");

CREATE INDEX "IX_files_uploader_create_time_name" ON "files" ("uploader", "create_time" DESC, "name");

CREATE INDEX "IX_files_uploader_source_create_time_name" ON "files" ("uploader", "source", "create_time" DESC, "name");

INSERT INTO "__EFMigrationsHistory" ("MigrationId", "ProductVersion")
VALUES ('20261124232102_SearchIndexes', '10.0.15');

COMMIT;

BEGIN TRANSACTION;
CREATE INDEX "IX_instances_store_id_path" ON "instances" ("store_id", "path");

CREATE INDEX "IX_drive_contents_drive_row_id" ON "drive_contents" ("drive_row", "id");

INSERT INTO "__EFMigrationsHistory" ("MigrationId", "ProductVersion")
VALUES ('20261126003222_PathAndContentIndexes', '10.0.15');

COMMIT;

