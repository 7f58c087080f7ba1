using System;
using Microsoft.EntityFrameworkCore.Migrations;
using Npgsql.EntityFrameworkCore.PostgreSQL.Metadata;

#nullable disable

namespace Librarian.Domain.Catalog.Migrations.Postgres
{
    /// <inheritdoc />
    public partial class Drives : Migration
    {
        /// <inheritdoc />
        protected override void Up(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.CreateTable(
                name: "drive_arrivals",
                columns: table => new
                {
                    id = table.Column<long>(type: "bigint", nullable: false)
                        .Annotation("Npgsql:ValueGenerationStrategy", NpgsqlValueGenerationStrategy.IdentityByDefaultColumn),
                    drive_id = table.Column<Guid>(type: "uuid", nullable: false),
                    trip = table.Column<int>(type: "integer", nullable: false),
                    name = table.Column<string>(type: "character varying(256)", maxLength: 256, nullable: false, collation: "C"),
                    source = table.Column<string>(type: "character varying(256)", maxLength: 256, nullable: false, collation: "C"),
                    mount_path = table.Column<string>(type: "text", nullable: false, collation: "C"),
                    data_path = table.Column<string>(type: "text", nullable: false, collation: "C"),
                    is_upstream = table.Column<bool>(type: "boolean", nullable: false),
                    manifest_sha256 = table.Column<string>(type: "character varying(256)", maxLength: 256, nullable: false, collation: "C"),
                    state = table.Column<string>(type: "character varying(16)", maxLength: 16, nullable: false),
                    state_since = table.Column<DateTime>(type: "timestamp with time zone", nullable: false),
                    files = table.Column<long>(type: "bigint", nullable: false),
                    bytes = table.Column<long>(type: "bigint", nullable: false),
                    position = table.Column<long>(type: "bigint", nullable: false),
                    files_done = table.Column<long>(type: "bigint", nullable: false),
                    bytes_done = table.Column<long>(type: "bigint", nullable: false),
                    problem = table.Column<string>(type: "text", nullable: true, collation: "C")
                },
                constraints: table =>
                {
                    table.PrimaryKey("PK_drive_arrivals", x => x.id);
                });

            migrationBuilder.CreateTable(
                name: "drives",
                columns: table => new
                {
                    id = table.Column<long>(type: "bigint", nullable: false)
                        .Annotation("Npgsql:ValueGenerationStrategy", NpgsqlValueGenerationStrategy.IdentityByDefaultColumn),
                    drive_id = table.Column<Guid>(type: "uuid", nullable: false),
                    name = table.Column<string>(type: "character varying(256)", maxLength: 256, nullable: false, collation: "C"),
                    store_id = table.Column<long>(type: "bigint", nullable: false),
                    mount_path = table.Column<string>(type: "text", nullable: false, collation: "C"),
                    destination = table.Column<string>(type: "character varying(256)", maxLength: 256, nullable: false, collation: "C"),
                    full_fraction = table.Column<double>(type: "double precision", nullable: false),
                    state = table.Column<string>(type: "character varying(16)", maxLength: 16, nullable: false),
                    state_since = table.Column<DateTime>(type: "timestamp with time zone", nullable: false),
                    trip = table.Column<int>(type: "integer", nullable: false),
                    manifest_time = table.Column<DateTime>(type: "timestamp with time zone", nullable: true),
                    manifest_sha256 = table.Column<string>(type: "character varying(256)", maxLength: 256, nullable: true, collation: "C"),
                    manifest_on_drive = table.Column<bool>(type: "boolean", nullable: false),
                    problem = table.Column<string>(type: "text", nullable: true, collation: "C")
                },
                constraints: table =>
                {
                    table.PrimaryKey("PK_drives", x => x.id);
                    table.ForeignKey(
                        name: "FK_drives_store_metadata_store_id",
                        column: x => x.store_id,
                        principalTable: "store_metadata",
                        principalColumn: "id",
                        onDelete: ReferentialAction.Restrict);
                });

            migrationBuilder.CreateTable(
                name: "site_keys",
                columns: table => new
                {
                    site = table.Column<string>(type: "character varying(256)", maxLength: 256, nullable: false, collation: "C"),
                    public_key = table.Column<string>(type: "character varying(256)", maxLength: 256, nullable: false, collation: "C"),
                    pinned_time = table.Column<DateTime>(type: "timestamp with time zone", nullable: false),
                    how = table.Column<string>(type: "character varying(256)", maxLength: 256, nullable: false, collation: "C")
                },
                constraints: table =>
                {
                    table.PrimaryKey("PK_site_keys", x => x.site);
                });

            migrationBuilder.CreateTable(
                name: "drive_arrival_files",
                columns: table => new
                {
                    id = table.Column<long>(type: "bigint", nullable: false)
                        .Annotation("Npgsql:ValueGenerationStrategy", NpgsqlValueGenerationStrategy.IdentityByDefaultColumn),
                    arrival_id = table.Column<long>(type: "bigint", nullable: false),
                    file_name = table.Column<string>(type: "character varying(256)", maxLength: 256, nullable: false, collation: "C"),
                    checksum = table.Column<string>(type: "character varying(256)", maxLength: 256, nullable: false, collation: "C"),
                    outgoing_transfer_id = table.Column<long>(type: "bigint", nullable: false),
                    outcome = table.Column<string>(type: "character varying(16)", maxLength: 16, nullable: false),
                    store_id = table.Column<long>(type: "bigint", nullable: true),
                    message = table.Column<string>(type: "text", nullable: true, collation: "C"),
                    told = table.Column<bool>(type: "boolean", nullable: false),
                    refusal = table.Column<string>(type: "text", nullable: true, collation: "C")
                },
                constraints: table =>
                {
                    table.PrimaryKey("PK_drive_arrival_files", x => x.id);
                    table.ForeignKey(
                        name: "FK_drive_arrival_files_drive_arrivals_arrival_id",
                        column: x => x.arrival_id,
                        principalTable: "drive_arrivals",
                        principalColumn: "id",
                        onDelete: ReferentialAction.Cascade);
                });

            migrationBuilder.CreateTable(
                name: "drive_contents",
                columns: table => new
                {
                    id = table.Column<long>(type: "bigint", nullable: false)
                        .Annotation("Npgsql:ValueGenerationStrategy", NpgsqlValueGenerationStrategy.IdentityByDefaultColumn),
                    drive_row = table.Column<long>(type: "bigint", nullable: false),
                    file_name = table.Column<string>(type: "character varying(256)", maxLength: 256, nullable: false, collation: "C"),
                    destination = table.Column<string>(type: "character varying(256)", maxLength: 256, nullable: false, collation: "C"),
                    state = table.Column<string>(type: "character varying(16)", maxLength: 16, nullable: false),
                    addition_id = table.Column<Guid>(type: "uuid", nullable: false),
                    size = table.Column<long>(type: "bigint", nullable: false),
                    sha256 = table.Column<string>(type: "character varying(256)", maxLength: 256, nullable: true, collation: "C"),
                    members = table.Column<long>(type: "bigint", nullable: false),
                    outgoing_transfer_id = table.Column<long>(type: "bigint", nullable: true),
                    retry_after = table.Column<DateTime>(type: "timestamp with time zone", nullable: true),
                    failures = table.Column<int>(type: "integer", nullable: false)
                },
                constraints: table =>
                {
                    table.PrimaryKey("PK_drive_contents", x => x.id);
                    table.ForeignKey(
                        name: "FK_drive_contents_drives_drive_row",
                        column: x => x.drive_row,
                        principalTable: "drives",
                        principalColumn: "id",
                        onDelete: ReferentialAction.Restrict);
                });

            migrationBuilder.CreateTable(
                name: "drive_members",
                columns: table => new
                {
                    content_id = table.Column<long>(type: "bigint", nullable: false),
                    path = table.Column<string>(type: "character varying(4096)", maxLength: 4096, nullable: false, collation: "C"),
                    size = table.Column<long>(type: "bigint", nullable: false),
                    sha256 = table.Column<string>(type: "character varying(256)", maxLength: 256, nullable: false, collation: "C")
                },
                constraints: table =>
                {
                    table.PrimaryKey("PK_drive_members", x => new { x.content_id, x.path });
                    table.ForeignKey(
                        name: "FK_drive_members_drive_contents_content_id",
                        column: x => x.content_id,
                        principalTable: "drive_contents",
                        principalColumn: "id",
                        onDelete: ReferentialAction.Cascade);
                });

            migrationBuilder.CreateIndex(
                name: "IX_drive_arrival_files_arrival_id_file_name",
                table: "drive_arrival_files",
                columns: new[] { "arrival_id", "file_name" },
                unique: true);

            migrationBuilder.CreateIndex(
                name: "IX_drive_arrival_files_arrival_id_outcome_id",
                table: "drive_arrival_files",
                columns: new[] { "arrival_id", "outcome", "id" });

            migrationBuilder.CreateIndex(
                name: "IX_drive_arrival_files_arrival_id_told_id",
                table: "drive_arrival_files",
                columns: new[] { "arrival_id", "told", "id" });

            migrationBuilder.CreateIndex(
                name: "IX_drive_arrivals_drive_id_trip",
                table: "drive_arrivals",
                columns: new[] { "drive_id", "trip" },
                unique: true);

            migrationBuilder.CreateIndex(
                name: "IX_drive_contents_drive_row_state_id",
                table: "drive_contents",
                columns: new[] { "drive_row", "state", "id" });

            migrationBuilder.CreateIndex(
                name: "IX_drive_contents_file_name_destination_state",
                table: "drive_contents",
                columns: new[] { "file_name", "destination", "state" });

            migrationBuilder.CreateIndex(
                name: "IX_drive_contents_outgoing_transfer_id",
                table: "drive_contents",
                column: "outgoing_transfer_id");

            migrationBuilder.CreateIndex(
                name: "ux_drive_contents_one_drive",
                table: "drive_contents",
                columns: new[] { "file_name", "destination" },
                unique: true,
                filter: "state in ('COPYING','STORED')");

            migrationBuilder.CreateIndex(
                name: "IX_drives_drive_id",
                table: "drives",
                column: "drive_id",
                unique: true);

            migrationBuilder.CreateIndex(
                name: "IX_drives_name",
                table: "drives",
                column: "name",
                unique: true);

            migrationBuilder.CreateIndex(
                name: "IX_drives_store_id",
                table: "drives",
                column: "store_id",
                unique: true);
        }

        /// <inheritdoc />
        protected override void Down(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.DropTable(
                name: "drive_arrival_files");

            migrationBuilder.DropTable(
                name: "drive_members");

            migrationBuilder.DropTable(
                name: "site_keys");

            migrationBuilder.DropTable(
                name: "drive_arrivals");

            migrationBuilder.DropTable(
                name: "drive_contents");

            migrationBuilder.DropTable(
                name: "drives");
        }
    }
}
