using Microsoft.EntityFrameworkCore.Migrations;

#nullable disable

namespace Librarian.Domain.Catalog.Migrations.Postgres
{
    /// <inheritdoc />
    public partial class SearchIndexes : Migration
    {
        /// <inheritdoc />
        protected override void Up(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.DropIndex(
                name: "IX_incoming_transfers_store_id",
                table: "incoming_transfers");

            migrationBuilder.DropIndex(
                name: "IX_files_source",
                table: "files");

            migrationBuilder.DropIndex(
                name: "IX_files_uploader",
                table: "files");

            migrationBuilder.CreateIndex(
                name: "IX_incoming_transfers_store_id_status_transfer_size",
                table: "incoming_transfers",
                columns: new[] { "store_id", "status", "transfer_size" });

            migrationBuilder.CreateIndex(
                name: "IX_files_source_create_time_name",
                table: "files",
                columns: new[] { "source", "create_time", "name" },
                descending: new[] { false, true, false });

            migrationBuilder.CreateIndex(
                name: "IX_files_uploader_create_time_name",
                table: "files",
                columns: new[] { "uploader", "create_time", "name" },
                descending: new[] { false, true, false });

            migrationBuilder.CreateIndex(
                name: "IX_files_uploader_source_create_time_name",
                table: "files",
                columns: new[] { "uploader", "source", "create_time", "name" },
                descending: new[] { false, false, true, false });
        }

        /// <inheritdoc />
        protected override void Down(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.DropIndex(
                name: "IX_incoming_transfers_store_id_status_transfer_size",
                table: "incoming_transfers");

            migrationBuilder.DropIndex(
                name: "IX_files_source_create_time_name",
                table: "files");

            migrationBuilder.DropIndex(
                name: "IX_files_uploader_create_time_name",
                table: "files");

            migrationBuilder.DropIndex(
                name: "IX_files_uploader_source_create_time_name",
                table: "files");

            migrationBuilder.CreateIndex(
                name: "IX_incoming_transfers_store_id",
                table: "incoming_transfers",
                column: "store_id");

            migrationBuilder.CreateIndex(
                name: "IX_files_source",
                table: "files",
                column: "source");

            migrationBuilder.CreateIndex(
                name: "IX_files_uploader",
                table: "files",
                column: "uploader");
        }
    }
}
